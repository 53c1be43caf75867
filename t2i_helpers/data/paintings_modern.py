"""Painters after 1907: each takes a blank canvas and a numpy generator, and paints in the spirit of one style."""

import numpy as np

from .brushes import X, Y, box, ellipse, facet, halftone, mix, noise, palette, ribbon, robe, scatter, spline, stripes

LETTERS = {                                                  # capitals that a brush can write in one stroke
    "L": [(0, 0), (0, 1), (1, 1)], "N": [(0, 1), (0, 0), (1, 1), (1, 0)], "Z": [(0, 0), (1, 0), (0, 1), (1, 1)],
    "V": [(0, 0), (0.5, 1), (1, 0)], "M": [(0, 1), (0, 0), (0.5, 0.6), (1, 0), (1, 1)],
    "U": [(0, 0), (0, 1), (1, 1), (1, 0)], "O": [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (0, 0.1)],
    "S": [(1, 0), (0, 0), (0, 0.5), (1, 0.5), (1, 1), (0, 1)],
}


def analytical_cubism(canvas, rng):
    """Something dissolves into brown and grey facets, dense in the middle, pale at the edges."""
    dust, ochre, umber, slate, ink = palette(rng, "b5a58a a5824f 5a4029 6f716c 1f1a15", 6)
    canvas.ground(np.hypot(X - 0.5, Y - 0.5) * 1.5 + 0.2 * noise(rng, 6), umber, dust, dust * 1.1)
    at = scatter(rng, 7, 8)
    away = np.hypot(*(at - 0.5).T)
    for x, y in at[np.argsort(-away)][np.sum(away > 0.56):] * (0.8, 1) + (0.1, 0):
        plane = facet(rng, x, y, rng.uniform(0.07, 0.2))
        near, far = mix(rng.permutation([dust, ochre, slate])[0], 230, 0.1), rng.permutation([umber, slate * 0.7])[0]
        canvas.shade(plane, near, mix(far, near, rng.uniform(0, 0.5)), 4)
        canvas.line(plane[:rng.integers(2, 5)], ink, 0.006)
    for x in rng.uniform(0.3, 0.7, 3):
        canvas.line([(x, rng.uniform(0, 0.4)), (x + rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1))], ink, 0.008)
    canvas.line(ellipse(*rng.uniform(0.35, 0.65, 2), 0.09)[:rng.integers(14, 26)], ink, 0.01)


def cubism(canvas, rng):
    """A guitar and a bottle on a table, broken into ochre and blue planes."""
    ochre, sand, blue, navy, white, ink = palette(rng, "d39a3a e8c88a 3f78ad 1d3557 f3eee0 1a1714")
    canvas.ground(Y, blue, navy)
    for x, y in scatter(rng, 4, 4):
        near, far = rng.permutation([blue, navy, sand, mix(blue, 255, 0.4)])[:2]
        canvas.shade(facet(rng, x, y, rng.uniform(0.18, 0.3)), near, mix(near, far, 0.4))
    top = rng.uniform(0.62, 0.74)
    canvas.shade([(-0.1, top + 0.08), (0.6, top - 0.08), (1.1, top + 0.1), (1, 1.2)], ochre * 0.75, sand * 0.8)
    side, lean = rng.choice([-1, 1]), rng.uniform(-0.5, 0.5)
    x, y = 0.5 + side * 0.13, rng.uniform(0.5, 0.58)
    turn = np.array([(np.cos(lean), np.sin(lean)), (-np.sin(lean), np.cos(lean))])
    for half, tone, slip in [(-1, ochre, (0, 0)), (1, mix(ochre, ink, 0.55), rng.uniform(-0.05, 0.05, 2))]:
        body = spline([(0, -0.24), (0.11, -0.21), (0.14, -0.12), (0.08, -0.02), (0.19, 0.1), (0.15, 0.24), (0, 0.28)])
        canvas.fill(body * (half, 1) @ turn + (x, y) + slip, tone)
        canvas.line(body * (half, 1) @ turn + (x, y) + slip, ink, 0.012)
    canvas.fill(box(-0.03, -0.55, 0.03, -0.05) @ turn + (x, y), ink)
    canvas.fill(ellipse(*np.array([0, -0.02]) @ turn + (x, y), 0.055), white)
    canvas.fill(ellipse(*np.array([0, -0.02]) @ turn + (x, y), 0.042), ink)
    for string in (-0.012, 0, 0.012):
        canvas.line(np.array([(string, -0.5), (string, 0.18)]) @ turn + (x, y), white, 0.004)
    x = 0.5 - side * rng.uniform(0.22, 0.32)
    glass = spline([(0, 0), (0.035, 0), (0.035, 0.16), (0.085, 0.24), (0.085, 0.45), (0, 0.45)], 3)
    for half, tone in [(-1, white), (1, mix(blue, white, rng.uniform(0, 0.4)))]:
        canvas.fill(glass * (half, 1) + (x, top - 0.34), tone)
        canvas.line(glass * (half, 1) + (x, top - 0.34), ink, 0.01)
    for _ in range(4):
        canvas.line(rng.uniform(0, 1, (2, 2)), ink, 0.008)


def synthetic_cubism(canvas, rng):
    """Flat bright cut-outs, some of them striped, dotted or newsprint."""
    paper, ink, *brights = palette(rng, "f0e6cf 1d1b1e d8392f 2d62b3 efb929 2f8f5b e98ba0 7a4a2a")
    canvas.fill(box(0, 0, 1, 1), rng.permutation(brights)[0])
    for i, (x, y) in enumerate(scatter(rng, 3, 3) * 0.8 + 0.1):
        angle, half = rng.normal(0, 0.3), rng.uniform((0.09, 0.12), (0.2, 0.26))
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        piece = box(-half[0], -half[1], *half) @ turn + (x, y)
        colour, other = rng.permutation([*brights, paper])[:2]
        canvas.fill(piece + 0.012, ink)
        canvas.fill(piece, paper if i % 3 == 1 else colour)
        if i % 3 == 0:
            pattern = halftone(0.065) if rng.random() < 0.4 else stripes(rng.uniform(0.05, 0.1), angle)
            canvas.glaze(piece, other, pattern)
        elif i % 3 == 1:
            for line in np.linspace(-0.85, 0.85, 9):
                canvas.line(np.array([(-0.85, line), (0.85, line)]) * half @ turn + (x, y), mix(ink, paper, 0.35), 0.01)
    x, y, size = *rng.uniform(0.35, 0.65, 2), rng.uniform(0.13, 0.18)
    canvas.fill(ellipse(x, y, size), ink)
    canvas.fill(ellipse(x, y, size)[rng.integers(0, 20):][:21], paper)
    for _ in range(rng.integers(1, 4)):
        write(canvas, rng, *rng.uniform(0.1, 0.75, 2), 0.1, 0.13, ink, 0.028)


def abstract_expressionism(canvas, rng):
    """A few huge gestures in black, ochre and red, across cream."""
    cream, ink, ochre, red, ash = palette(rng, "efe5d0 16130f c98a2b b23a24 a8a196")
    canvas.ground(noise(rng, 5), cream * 0.93, cream)
    colours = [*rng.permutation([ochre, red, ash])[:rng.integers(1, 4)], *[ink] * rng.integers(2, 5)]
    for colour in colours:
        turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.5)
        step = np.array([np.cos(turn), np.sin(turn)]) * reach
        middle = rng.uniform(0.3, 0.7, 2)
        path = spline([middle - step, middle + rng.normal(0, 0.08, 2), middle + step], 5)
        canvas.brush(rng, path, colour, rng.uniform(0.1, 0.22))
    canvas.dots(rng.uniform(0.1, 0.9, (12, 2)), rng.uniform(0.004, 0.014, 12), ink)


def action_painting(canvas, rng):
    """A web of poured threads and splatter, edge to edge."""
    linen, ink, white, silver, teal, yellow = palette(rng, "cdbd9b 17161a f4f0e4 a3a9ab 3c8c90 e3b52c")
    canvas.ground(noise(rng, 9), linen * 0.9, linen * 1.05)
    accent = rng.permutation([teal, yellow, np.array([196, 70, 48])])[0]
    for colour, count in [(silver, 8), (ink, 18), (accent, 9), (white, 13), (ink, 10)]:
        for _ in range(count):
            walk = rng.uniform(-0.1, 1.1, 2) + np.cumsum(rng.normal(0, 0.17, (7, 2)), axis=0)
            canvas.line(spline(walk, 4), colour, rng.choice([0.004, 0.004, 0.007, 0.011]))
        at = rng.uniform(0, 1, (45, 2))
        canvas.dots(at, 0.003 + 0.013 * rng.random(45) ** 4, colour)


def color_field(canvas, rng):
    """Two or three soft rectangles hover on a ground of nearly their colour."""
    sets = ("7a1f1c d9481f f09a2a 3b0f14", "1d2b5b 3c5aa6 7a3f7f 10142e", "e0a020 f2cf4a e86f1c c04a1e",
            "3a2a22 8a3a2a 1c1a1f b5532e", "2f5d50 86a96a 1f3b57 d6c25a", "8f2f52 d46a7e 4b2446 f0b59a")
    colours = rng.permutation(palette(rng, rng.choice(sets), 12))
    canvas.ground(noise(rng, 5), colours[0] * 0.94, colours[0] * 1.06)
    count, margin = rng.integers(2, 4), rng.uniform(0.07, 0.13)
    cuts = np.cumsum(rng.uniform(0.6, 1.6, count))
    cuts = margin + np.concatenate([[0], cuts / cuts[-1]]) * (1 - 2 * margin)
    for top, bottom, colour in zip(cuts, cuts[1:], colours[1:]):
        cloud = box(margin, top + 0.02, 1 - margin, bottom - 0.02)
        canvas.glaze(cloud, colour, 0.8 + 0.2 * noise(rng, 7, 5), blur=0.016)
        canvas.glaze(cloud * 0.9 + np.array([0.5, (top + bottom) / 2]) * 0.1, colour * 1.08, 0.5, blur=0.03)


def new_realism(canvas, rng):
    """A hoarding: posters over posters, torn down to white edges and halves of words."""
    paper, ink, *inks = palette(rng, "f4f0e8 1c1a1d d6232b 1f4fa3 f2c218 e7658f 2aa0a8", 10)
    canvas.ground(noise(rng, 6), paper * 0.75, paper * 0.95)
    for x, y in scatter(rng, 3, 4):
        colour, other = rng.permutation([*inks, ink, paper * 0.95])[:2]
        corners = facet(rng, x, y, rng.uniform(0.2, 0.36))
        rim = np.vstack([mix(a, b, np.linspace(0, 1, 9)[:-1]) for a, b in zip(corners, np.roll(corners, -1, axis=0))])
        canvas.fill((rim - (x, y)) * 1.1 + (x, y) + rng.normal(0, 0.016, rim.shape), paper)
        canvas.fill(rim + rng.normal(0, 0.011, rim.shape), colour)
        for letter in range(rng.integers(0, 3)):
            write(canvas, rng, x + 0.15 * letter - 0.15, y - 0.1, 0.1, rng.uniform(0.12, 0.22), other, 0.035)
    for start in rng.uniform((0, 0), (1, 0.8), (5, 2)):
        tear = start + np.cumsum(rng.normal((0.005, 0.035), 0.02, (9, 2)), axis=0)
        canvas.fill(ribbon(tear, rng.uniform(0.004, 0.05, 9)), paper)


def pop_art(canvas, rng):
    """One motif four times, in four loud sets of colours and halftone dots."""
    loud = palette(rng, "ff2e88 ffe600 00b7eb ff6a13 7ac943 8e3fd1 e81e25 ffffff 14121a", 5)
    kind = rng.integers(4)
    if kind == 0:                                            # a flower
        turns = np.arange(5) * 0.4 * np.pi + rng.uniform(0, 1)
        motif = [ellipse(0.5 + 0.2 * np.cos(turn), 0.5 + 0.2 * np.sin(turn), 0.16) for turn in turns]
        motif.append(ellipse(0.5, 0.5, 0.12))
    elif kind == 1:                                          # a soup can
        motif = [box(0.28, 0.2, 0.72, 0.85), ellipse(0.5, 0.85, 0.22, 0.07), box(0.28, 0.5, 0.72, 0.85),
                 ellipse(0.5, 0.5, 0.1), ellipse(0.5, 0.2, 0.22, 0.07)]
    elif kind == 2:                                          # lips
        lips = spline([(0.1, 0.48), (0.36, 0.3), (0.5, 0.37), (0.64, 0.3), (0.9, 0.48), (0.5, 0.76), (0.1, 0.48)])
        motif = [lips, (lips - (0.5, 0.5)) * (0.7, 0.22) + (0.5, 0.49)]
    else:                                                    # a bang
        spikes = ellipse(0.5, 0.5, 0.46)[::2] - 0.5
        motif = [spikes * np.tile([1, 0.6], 10)[:, None] * s + 0.5 for s in (1, 0.62)] + [ellipse(0.5, 0.5, 0.1)]
    grid = np.stack(np.meshgrid(np.arange(7), np.arange(7)), axis=-1).reshape(-1, 2) / 7 + 1 / 14
    for corner in np.array([(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]):
        colours = rng.permutation(loud)
        canvas.fill(box(*corner, *corner + 0.5), colours[0])
        canvas.dots(grid * 0.5 + corner, 0.018, mix(colours[0], colours[4], 0.8))
        for i, shape in enumerate(motif):
            canvas.fill(shape * 0.5 + corner, colours[2 if i == len(motif) - 1 else 1 + 2 * (i % 2) * (kind != 0)])
            if kind:
                canvas.contour(shape * 0.5 + corner, [20, 18, 26], 0.01)
    for cut in (box(0.49, 0, 0.51, 1), box(0, 0.49, 1, 0.51)):
        canvas.fill(cut, [255, 255, 255])


def minimalism(canvas, rng):
    """One or two hard shapes, or a few stripes, on white."""
    white, ink = palette(rng, "f6f5f1 1a1a1c", 3)
    colour = rng.permutation([ink, *palette(rng, "d22f27 2456a8 e8b21e 2f7d57 8c8c8c")])[0]
    canvas.fill(box(0, 0, 1, 1), white)
    size, (x, y) = rng.uniform(0.14, 0.28), rng.uniform(0.3, 0.7, 2)
    kind = rng.integers(5)
    if kind == 0:
        for left in np.arange(rng.uniform(0.05, 0.2), rng.uniform(0.5, 0.95), size):
            canvas.fill(box(left, 0, left + 0.4 * size, 1), colour)
    elif kind == 1:
        for side in np.arange(1, rng.integers(2, 5)):
            canvas.contour(box(x - side * 0.1, y - side * 0.1, x + side * 0.1, y + side * 0.1), colour, 0.03)
    elif kind == 2:
        canvas.fill(ellipse(x, y, size), colour)
    else:
        canvas.fill(box(x - size, y - size, x + rng.uniform(0.02, 1) * size, y + rng.uniform(0.2, 1) * size), colour)
    if kind in (2, 3):
        canvas.fill(box(*rng.permutation([(0, y, 1, y + 0.03), (x, 0, x + 0.03, 1)])[0]), ink)


def contemporary_realism(canvas, rng):
    """A quiet grey room, where a window throws its light across wall and floor."""
    wall, floor, light, shadow, wood = palette(rng, "8d959a 6d675f ece6d2 3f464d 7a5f47", 6)
    line, corner = rng.uniform(0.66, 0.76), rng.uniform(0.1, 0.3)
    canvas.ground(X * rng.choice([-0.5, 0.5]) + 0.5, wall * 0.85, wall * 1.1)
    canvas.fill([(0, 0), (corner, 0), (corner, line), (0, line + 0.5 * corner)], wall * 0.72)
    canvas.fill([(0, line + 0.5 * corner), (corner, line), (1, line), (1, 1), (0, 1)], floor)
    canvas.line([(0, line + 0.5 * corner), (corner, line), (1, line)], light * 0.8, 0.014)
    x, y, wide, high, slant = rng.uniform((0.38, 0.14, 0.3, 0.3, 0.06), (0.52, 0.26, 0.42, 0.42, 0.2))
    pane = np.array([(x, y), (x + wide, y + 0.4 * slant), (x + wide, y + high + 0.4 * slant), (x, y + high)])
    canvas.glaze(pane, light, 0.92)
    for share in (0.5,) if rng.random() < 0.5 else (0.33, 0.67):
        canvas.line([mix(pane[0], pane[1], share), mix(pane[3], pane[2], share)], wall * 0.75, 0.022)
    canvas.line([mix(pane[0], pane[3], 0.5), mix(pane[1], pane[2], 0.5)], wall * 0.75, 0.022)
    canvas.glaze([(x - slant, line + 0.08), (x + wide - slant, line + 0.08), (x + wide - 2.5 * slant, 1),
                  (x - 2.5 * slant, 1)], light, 0.6)
    x, y = rng.uniform(0.3, 0.8), rng.uniform(0.84, 0.92)
    canvas.fill([(x - 0.1, y), (x + 0.1, y), (x - 0.25, y + 0.1), (x - 0.4, y + 0.1)], shadow)
    if rng.random() < 0.5:
        for leg in (-0.09, 0.09):
            canvas.line([(x + leg, y - 0.2), (x + leg, y + 0.02)], wood * 0.6, 0.018)
        canvas.fill([(x - 0.12, y - 0.18), (x + 0.12, y - 0.18), (x + 0.09, y - 0.24), (x - 0.09, y - 0.24)], wood)
        canvas.fill(box(x + 0.07, y - 0.46, x + 0.1, y - 0.2), wood * 0.7)
    else:
        canvas.fill(robe(x, y - 0.34, y + 0.02, 0.2), rng.permutation([shadow, wood, light * 0.9])[0])
        canvas.orb(x, y - 0.37, 0.042, 0.052, wood * 0.7, [196, 164, 138])
    if rng.random() < 0.5:
        canvas.mirror()


def write(canvas, rng, x, y, width, height, colour, stroke):
    """One random capital with its upper left corner at (x, y)."""
    canvas.line(np.array(LETTERS[rng.choice(list(LETTERS))]) * (width, height) + (x, y), colour, stroke)
