"""Painters around 1900: each takes a blank canvas and a numpy generator, and paints in the spirit of one style."""

import numpy as np

from .brushes import X, Y, box, ellipse, mix, noise, palette, ribbon, ridge, robe, scatter, spline


def realism(canvas, rng):
    """Brown fields under a wide grey sky, and a few people bent over their work."""
    grey, cloud, straw, earth, dark, linen = palette(rng, "97a0a0 dcd6c4 b08b4f 6b4a2b 2b2119 d8cdb8")
    horizon = rng.uniform(0.42, 0.58)
    canvas.ground(0.7 * noise(rng, 4, 9) + 0.6 * Y - 0.1, grey, cloud * 0.9, cloud)
    canvas.fill(box(0, horizon, 1, 1), straw)
    canvas.glaze(box(0, horizon, 1, 1), earth, np.clip(0.2 + (Y - horizon) * 1.6, 0, 1))
    for x in rng.uniform(0, 1, rng.integers(1, 4)):
        canvas.fill(ellipse(x, horizon, rng.uniform(0.04, 0.09), rng.uniform(0.03, 0.06)), mix(straw, earth, 0.6))
    at = scatter(rng, 12, 16) * (1, 1 - horizon) + (0, horizon)
    near = (at[:, 1] - horizon) / (1 - horizon)
    canvas.strokes(at, rng.normal(0, 0.25, len(at)), 0.03 + 0.09 * near, 0.008,
                   mix(straw, dark, rng.uniform(0, 0.8, len(at))))
    for x in rng.permutation([0.15, 0.38, 0.62, 0.85])[:rng.integers(2, 4)] + rng.uniform(-0.06, 0.06):
        y, size, side = rng.uniform(horizon + 0.2, 0.86), rng.uniform(0.1, 0.14), rng.choice([-1, 1])
        cloth = rng.permutation([dark, np.array([62, 72, 92]), np.array([118, 52, 38]), earth * 0.6])[0]
        canvas.fill(robe(x, y - 0.7 * size, y + 0.9 * size, 0.95 * size), dark * 1.1)
        back = spline([(x - side * 0.2 * size, y), (x, y - size), (x + side * size, y - 0.75 * size)])
        canvas.fill(ribbon(back, 0.75 * size), cloth)
        canvas.line([(x + side * 0.8 * size, y - 0.6 * size), (x + side * size, y + 0.5 * size)], cloth * 0.8, 0.022)
        canvas.orb(x + side * 1.15 * size, y - 0.8 * size, 0.3 * size, 0.3 * size, linen * 0.6, linen)


def impressionism(canvas, rng):
    """Water and sky at one hour of the day, in short horizontal dabs of pastel."""
    hours = ("a9c9ec f8d3c0 8fb4d8 7fb092 eba7c4", "c6b6e4 fbc29a a6a4d6 8a9fb0 f4c0b4",
             "b4dcf0 eef0dc 8cc4d4 8cc07c f2b4c8", "f3c6c0 f9e3a8 b4b4dc a4a4b8 f0a0a0")
    sky, glow, water, leaf, petal = palette(rng, rng.choice(hours), 9)
    horizon, x = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.8)
    canvas.ground(Y / horizon + 0.3 * noise(rng, 4) - 0.15, sky, glow)
    canvas.glaze(box(0, horizon, 1, 1), water)
    bank = ridge(rng, horizon - 0.05, 0.05, 7)
    canvas.fill(np.minimum(bank, (2, horizon)), mix(leaf, sky, 0.3))
    canvas.glaze(np.minimum(bank, (2, horizon)) * (1, -0.8) + (0, 1.8 * horizon), leaf, 0.5)
    for tree in rng.uniform(0, 1, rng.integers(0, 9)):
        tall = horizon * rng.uniform(0.3, 0.75)
        for way in (-1, 0.8):                                            # and its image in the water
            canvas.fill(ellipse(tree, horizon + way * 0.5 * tall, 0.03, 0.5 * tall), mix(leaf, sky, 0.15))
    sun, y = [255, 176, 110], horizon * rng.uniform(0.25, 0.6)
    canvas.fill(ellipse(x, y, 0.06), sun)
    at = scatter(rng, 22, 36)
    canvas.strokes(at, rng.normal(0, 0.12, len(at)), rng.uniform(0.03, 0.08, len(at)), 0.018,
                   canvas.colours_at(at) + rng.normal(0, 15, (len(at), 3)))
    glints = scatter(rng, 1, 16) * (0.12, 1 - horizon) + (x - 0.06, horizon)
    canvas.strokes(glints, np.zeros(16), rng.uniform(0.04, 0.14, 16), 0.016, mix(np.array(sun), glow, rng.random(16)))
    lilies = rng.uniform((0, horizon + 0.12), (1, 1), (rng.integers(8, 45), 2))
    canvas.strokes(lilies, np.zeros(len(lilies)), 0.05 + 0.05 * lilies[:, 1], 0.025, mix(leaf, water, 0.2)[None]
                   + rng.normal(0, 12, (len(lilies), 3)))
    canvas.dots(lilies[::3] - (0, 0.012), 0.014, petal + rng.normal(0, 10, (len(lilies[::3]), 3)))


def pointillism(canvas, rng):
    """A river bank on a Sunday, all of it in dots of pure colour on white."""
    white, sky, river, lawn, shade, sail, skirt = palette(rng, "faf6ea 7db8e8 3f7fc4 9cc63c 2c6b4f fff3d0 d2433f")
    shore, far = rng.uniform(0.55, 0.68), rng.uniform(0.28, 0.38)
    slope = rng.uniform(-0.2, 0.2)
    canvas.fill(box(0, 0, 1, 1), sky)
    canvas.fill(box(0, far, 1, 1), river)
    canvas.fill([(0, shore - slope), (1, shore + slope), (1, 1), (0, 1)], lawn)
    for x in rng.uniform(0.05, 0.95, rng.integers(1, 4)):
        canvas.fill([(x - 0.06, far + 0.09), (x + 0.06, far + 0.09), (x + 0.02, far - 0.1)], sail)
    for x in rng.uniform(0, 1, rng.integers(1, 4)):
        y = rng.uniform(0.1, 0.3)
        canvas.fill(box(x - 0.025, y, x + 0.025, shore + 0.15), shade * 0.7)
        canvas.fill(ellipse(x, y, rng.uniform(0.13, 0.22), rng.uniform(0.12, 0.2)), shade)
        canvas.fill(ellipse(x + 0.15, shore + 0.2, 0.22, 0.035), shade)
    for x in rng.uniform(0.1, 0.9, rng.integers(1, 4)):
        y = rng.uniform(shore + 0.02, 0.78)
        canvas.fill(robe(x, y - 0.08, y + 0.17, 0.15), rng.permutation([skirt, shade * 0.4, river * 0.7])[0])
        canvas.fill(ellipse(x, y - 0.1, 0.09, 0.04), rng.permutation([skirt, sail])[0])
    at = scatter(rng, 46, 46)
    colours = canvas.colours_at(at)
    odd = rng.random(len(at)) < 0.14                                     # here and there the complementary colour
    colours[odd] = 0.5 * colours[odd] + 0.5 * (255 - colours[odd]) + 25
    canvas.fill(box(0, 0, 1, 1), white)
    canvas.dots(at, rng.uniform(0.008, 0.014, len(at)), colours + rng.normal(0, 22, colours.shape))


def post_impressionism(canvas, rng):
    """Everything turns: thick strokes swirl around stars or a sun, behind a cypress."""
    night = rng.random() < 0.5
    deep, mid, pale, star, field, dark = palette(rng, "16327e 2f66b8 8fc3dd ffd640 c9992b 16301f" if night else
                                                 "2e86b8 58b3c4 bfe0c4 ffdf3a e0b02a 1f4a2a")
    canvas.ground(noise(rng, 6) + 0.5 * (Y - 0.3), deep, mid, pale)
    horizon = rng.uniform(0.62, 0.75)
    canvas.fill(ridge(rng, horizon - 0.06, 0.06), mix(deep, mid, 0.3))
    canvas.fill(ridge(rng, horizon + 0.05, 0.05), field)
    stars = rng.uniform((0.08, 0.06), (0.92, horizon - 0.2), (rng.integers(5, 10) if night else 1, 2))
    sizes = rng.uniform(0.022, 0.045, len(stars)) if night else np.array([0.1])
    for (x, y), size in zip(stars, sizes):
        canvas.fill(ellipse(x, y, 2.1 * size), mix(star, pale, 0.55))
        canvas.fill(ellipse(x, y, 1.3 * size), star)
    at = scatter(rng, 30, 34)
    flow = np.stack([np.ones(len(at)), 0.5 * np.sin(5 * at[:, 0] + rng.uniform(0, 6))], axis=1) * 1.5
    for centre, size in zip(np.vstack([stars, rng.uniform(0.2, 0.6, (2, 2))]), [*sizes, 0.08, 0.06]):
        away = at - centre
        pull = rng.choice([-3, 3]) * size / (np.sum(away**2, axis=1) + size**2)
        flow += away[:, ::-1] * (-1, 1) * pull[:, None]
    flow[at[:, 1] > horizon] = (1, rng.uniform(-0.6, 0.6))
    canvas.strokes(at, np.arctan2(flow[:, 1], flow[:, 0]), rng.uniform(0.04, 0.09, len(at)), 0.016,
                   canvas.colours_at(at) + rng.normal(0, 20, (len(at), 1)) + rng.normal(0, 9, (len(at), 3)))
    for x in rng.uniform(0.05, 0.95, rng.integers(1, 3)):
        top = rng.uniform(0.1, 0.35)
        flame = spline([(x, top), (x + 0.03, 0.5), (x - 0.02, 0.8), (x, 1.05)])
        at = flame[rng.integers(0, len(flame), 90)]
        spread = 0.13 * (at[:, 1] - top) ** 0.7 + 0.005
        canvas.strokes(at + np.stack([rng.uniform(-1, 1, 90) * spread, np.zeros(90)], axis=1),
                       np.pi / 2 + rng.normal(0, 0.25, 90), 0.09, 0.016, dark * rng.uniform(0.5, 1.7, (90, 1)))


def symbolism(canvas, rng):
    """A violet night; a moon too large, its path on still water, and cypresses that keep silent."""
    night, violet, mauve, moon = palette(rng, "150d30 4a2a7a 9a6bb5 f6ecc8")
    shore = rng.uniform(0.58, 0.7)
    canvas.ground(np.where(shore > Y, Y / shore, (1.15 - Y) / (1.15 - shore)) + 0.15 * noise(rng, 3, 9) - 0.1,
                  night, violet, mauve)
    x, y, size = rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.38), rng.uniform(0.13, 0.2)
    canvas.glaze(ellipse(x, y, 1.6 * size), moon, 0.45, blur=0.05)
    canvas.orb(x, y, size, size, moon * 0.88, moon * 1.04)
    at = np.stack([x + rng.normal(0, 0.03, 26), np.linspace(shore + 0.02, 0.99, 26)], axis=1)
    canvas.strokes(at, np.zeros(26), rng.uniform(0.4, 1.4, 26) * size, 0.01, mix(moon, mauve, rng.uniform(0, 0.6, 26)))
    centre = x + rng.choice([-1, 1]) * rng.uniform(0.25, 0.38)
    isle = np.minimum(ridge(rng, shore - 0.07, 0.05, 7, 2), (2, shore))
    canvas.fill((isle - (0.5, 0)) * (rng.uniform(0.3, 0.5), 1) + (centre, 0), night * 0.8)
    for tree in centre + rng.uniform(-0.14, 0.14, rng.integers(2, 7)):
        top = shore - rng.uniform(0.2, 0.42)
        trunk = spline([(tree, top), (tree, (top + shore) / 2), (tree, shore)])
        canvas.fill(ribbon(trunk, np.interp(np.linspace(0, 1, 17), [0, 0.6, 1], [0.004, 0.06, 0.035])), night * 0.7)
    canvas.glaze(box(centre - 0.14, shore, centre + 0.14, shore + 0.2), night, 0.6, blur=0.03)
    if rng.random() < 0.5:
        x, y = 1 - centre + rng.uniform(-0.1, 0.1), rng.uniform(shore + 0.08, 0.88)
        canvas.fill(spline([(x - 0.12, y - 0.02), (x, y + 0.015), (x + 0.12, y - 0.02), (x + 0.07, y + 0.05),
                            (x - 0.07, y + 0.05)]), night * 0.6)
        canvas.fill(robe(x, y - 0.15, y + 0.02, 0.07), mix(moon, mauve, 0.2))
        canvas.fill(ellipse(x, y - 0.16, 0.017, 0.022), mix(moon, mauve, 0.2))


def art_nouveau(canvas, rng):
    """A ring of ornament behind whiplash stems and lilies, all in dark outlines and flat green and gold."""
    ivory, gold, green, moss, ink, bloom = palette(rng, "f1e4bd d3a548 7fa463 48703f 24361f e8865f")
    bloom = rng.permutation([bloom, np.array([236, 214, 232]), np.array([214, 96, 110])])[0]
    canvas.ground(Y + 0.2 * noise(rng, 5) - 0.1, ivory, mix(ivory, gold, 0.4), mix(green, ivory, 0.3))
    x, y, size = rng.uniform(0.42, 0.58), rng.uniform(0.34, 0.46), rng.uniform(0.25, 0.32)
    canvas.fill(ellipse(x, y, size), gold)
    canvas.fill(ellipse(x, y, 0.78 * size), mix(ivory, green, 0.35))
    canvas.dots(ellipse(x, y, 0.89 * size)[::2], 0.018, moss)
    for radius in (1, 0.78):
        canvas.contour(ellipse(x, y, radius * size), ink, 0.012)
    for start in rng.permutation(np.linspace(0.08, 0.92, 7))[:rng.integers(4, 7)]:
        side, top = rng.choice([-1, 1]), rng.uniform(0.18, 0.55)
        stem = spline([(start, 1.05), (start + side * 0.16, 0.82), (start - side * 0.12, 0.55),
                       (start + side * 0.08, top), (start + side * 0.2, top + 0.04),
                       (start + side * 0.17, top + 0.13)], 6)
        canvas.line(stem, ink, 0.03)
        canvas.line(stem, green, 0.016)
        leaf = spline([stem[6], stem[6] + (side * 0.16, -0.1), stem[6] + (side * 0.2, -0.24)])
        canvas.fill(ribbon(leaf, 0.07 * np.sin(np.linspace(0.2, 3, len(leaf)))), moss)
        canvas.line(leaf, ink, 0.008)
        for turn in np.linspace(-1.2, 1.2, 5) + np.pi / 2:
            petal = ellipse(*stem[-1] + 0.055 * np.array([np.cos(turn), np.sin(turn)]), 0.06, 0.022, turn)
            canvas.fill(petal, bloom)
            canvas.contour(petal, ink, 0.006)
    canvas.contour(box(0.015, 0.015, 0.985, 0.985), gold * 0.85, 0.035)
    canvas.contour(box(0.035, 0.035, 0.965, 0.965), ink, 0.008)


def naive_art(canvas, rng):
    """Green hills, little houses with red roofs, round trees and a sun that smiles."""
    sky, sun, *greens, wall, roof, trunk = palette(rng, "6fc0f0 ffd83b 8ed04b 58b03c 3b8f38 fdf3dc d8402f 6b4423")
    canvas.ground(Y * 1.6, sky, mix(sky, 255, 0.6))
    x, y = rng.uniform(0.12, 0.88), rng.uniform(0.1, 0.2)
    canvas.strokes(np.full((12, 2), (x, y)), np.arange(12) * np.pi / 6, 0.3, 0.012, np.tile(sun, (12, 1)))
    canvas.fill(ellipse(x, y, 0.09), sun)
    for base, green in zip(np.array([0.42, 0.6, 0.8]) + rng.uniform(-0.05, 0.05), greens):
        hill = ridge(rng, base, 0.06, 3)
        canvas.fill(hill, green)
        size = 0.04 + 0.07 * base
        for x in rng.permutation(np.linspace(0.1, 0.9, 5))[:rng.integers(2, 5)] + rng.uniform(-0.05, 0.05):
            foot = np.interp(x, *hill[:-2].T) + 0.05
            if rng.random() < 0.4:
                front = box(x - 0.8 * size, foot - size, x + 0.8 * size, foot)
                canvas.fill(front, mix(wall, sun, rng.random() / 2))
                canvas.fill([(x - size, foot - size), (x, foot - 1.8 * size), (x + size, foot - size)], roof)
                canvas.fill(box(x - 0.2 * size, foot - 0.6 * size, x + 0.2 * size, foot), trunk)
            else:
                canvas.line([(x, foot), (x, foot - size)], trunk, 0.02)
                canvas.fill(ellipse(x, foot - 1.6 * size, 0.85 * size), greens[2] * rng.uniform(0.65, 0.95))
                canvas.dots((x, foot - 1.6 * size) + rng.normal(0, 0.27 * size, (5, 2)), 0.012, roof)
    flowers = rng.uniform((0, 0.84), (1, 1), (25, 2))
    canvas.dots(flowers, 0.011, np.array([wall, sun, roof])[rng.integers(0, 3, 25)])


def expressionism(canvas, rng):
    """A scream of a sky: red and yellow bands writhe over a dark fjord, a road and a pale figure."""
    sets = ("c8321f ec7d24 f4c64a 2b4a6b", "a3203f e4552b f7b13c 2c5a4c", "7d2a6b e0482f f2a33a 27407f")
    red, orange, yellow, fjord = palette(rng, rng.choice(sets))
    deep, pale = palette(rng, "15233a d9d6a8")
    shore, side = rng.uniform(0.42, 0.55), rng.choice([-1, 1])
    wave = 0.05 * np.sin(9 * X + rng.uniform(0, 6)) + 0.12 * noise(rng, 4, 3)
    bands = (Y + wave) * rng.uniform(8, 11) + rng.uniform(0, 1)
    canvas.ground(np.abs(bands % 2 - 1), red, orange, mix(orange, yellow, 0.5), yellow)
    land = ridge(rng, shore, 0.07)
    canvas.glaze(land, fjord)
    canvas.glaze(land, mix(deep, [30, 90, 60], 0.3), np.float32((bands * 1.5) % 2 > 1))
    corner, edge = 0.5 + side * 0.6, 0.5 - side * 0.6
    bridge = np.array([(corner, shore + 0.02), (corner, 1.1), (edge, 1.1), (edge, 0.95)])
    canvas.shade(bridge[[0, 3, 2, 1]], mix(red, [90, 50, 30], 0.65), mix(orange, [90, 50, 30], 0.5))
    for drop in (0.0, 0.07):
        canvas.line(bridge[[0, 3]] + (0, drop - 0.05), deep, 0.02)
    x, y, size = 0.5 + side * rng.uniform(-0.12, 0.15), rng.uniform(0.55, 0.66), rng.uniform(0.07, 0.1)
    body = spline([(x, y + size), (x + side * 0.04, y + 0.22), (x - side * 0.03, 1.1)])
    canvas.fill(ribbon(body, np.linspace(1.2, 3, len(body)) * size), deep)
    for arm in (-1, 1):
        canvas.line(spline([(x + arm * 0.1, y + 0.24), (x + arm * 1.5 * size, y + 0.12), (x + arm * 0.85 * size, y)]),
                    pale * 0.85, 0.028)
    canvas.fill(ellipse(x, y, 0.85 * size, 1.2 * size), pale)
    for eye in (-0.32, 0.32):
        canvas.fill(ellipse(x + eye * size, y - 0.25 * size, 0.18 * size), deep)
    canvas.fill(ellipse(x, y + 0.6 * size, 0.2 * size, 0.32 * size), deep)


def fauvism(canvas, rng):
    """A landscape in patches of the wrong colours straight from the tube, edged in dark blue."""
    outline, *tubes = palette(rng, "1b2350 f2478a ff7a1f ffd21f 19a974 2273d8 8e3fb0 e5242b 7fd0c0", 9)
    tubes = rng.permutation(tubes)
    canvas.fill(box(0, 0, 1, 1), tubes[0])
    for y in (0.14, 0.26):
        cloud = ellipse(rng.uniform(0.2, 0.8), y, rng.uniform(0.15, 0.3), 0.06)
        canvas.fill(cloud, tubes[1])
        canvas.contour(cloud, outline, 0.014)
    for i, y in enumerate(np.linspace(rng.uniform(0.36, 0.44), 0.88, 5)):
        patch = ridge(rng, y, 0.07, 3)
        canvas.fill(patch, tubes[2 + i])
        for x in rng.uniform(0, 1, 2):
            canvas.fill([(x, y + 0.03), (x + rng.uniform(0.1, 0.3), y + 0.05), (x + 0.1, y + 0.14)], tubes[(4 + i) % 8])
        canvas.line(patch, outline, 0.016)
    for x in rng.uniform(0.05, 0.95, rng.integers(2, 4)):
        foot, top, lean = rng.uniform(0.75, 0.95), rng.uniform(0.12, 0.35), rng.uniform(-0.1, 0.1)
        trunk = spline([(x, foot), (x + lean, 0.5 * (foot + top)), (x + 0.5 * lean, top)])
        canvas.line(trunk, outline, 0.07)
        canvas.line(trunk, tubes[rng.integers(8)], 0.045)
        for dx, dy in rng.uniform(-0.1, 0.1, (3, 2)):
            crown = ellipse(*trunk[-1] + (dx, dy), rng.uniform(0.08, 0.14), rng.uniform(0.06, 0.1), rng.uniform(0, 3))
            canvas.fill(crown, tubes[rng.integers(8)])
            canvas.contour(crown, outline, 0.014)
