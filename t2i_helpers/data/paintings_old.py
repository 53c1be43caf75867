"""Painters up to 1850: each takes a blank canvas and a numpy generator, and paints in the spirit of one style."""

import numpy as np

from .brushes import X, Y, box, ellipse, mix, noise, palette, ribbon, ridge, robe, spline


def early_renaissance(canvas, rng):
    """Gold ground under an arch; a Madonna in blue, saints beside her, all with halos."""
    wood, gold, leaf, blue, rose, flesh = palette(rng, "4a2416 d9a536 f4d777 1f3c86 b8342c e9c49c")
    frame = rng.permutation([wood, blue * 0.5, rose * 0.5])[0]
    canvas.ground(noise(rng, 6), frame, frame * 1.25)
    x, spring, half = rng.uniform(0.44, 0.56), rng.uniform(0.42, 0.5), rng.uniform(0.36, 0.42)
    top = spline([(x - half, spring), (x - 0.75 * half, 0.17), (x, rng.uniform(-0.05, 0.1)), (x + 0.75 * half, 0.17),
                  (x + half, spring)])
    arch = np.vstack([top, (x + half, 0.97), (x - half, 0.97)])
    canvas.fill(arch, gold)
    canvas.glaze(arch, leaf, noise(rng, 9) * 0.8)
    canvas.contour(arch, leaf, 0.02)
    for side in rng.permutation([-1, 1])[:rng.integers(0, 3)]:
        saint(canvas, x + side * 0.25, rng.uniform(0.4, 0.5), 0.26, 0.055, rng.permutation([rose, rose * 0.6, leaf])[0],
              flesh, leaf, wood)
    head = rng.uniform(0.25, 0.36)
    saint(canvas, x, head, rng.uniform(0.5, 0.66), 0.085, blue, flesh, leaf, wood)
    canvas.fill(robe(x, head + 0.13, 1, 0.16), rose)
    lap = x + rng.choice([-0.1, 0.1])
    saint(canvas, lap, head + 0.24, 0.14, 0.045, rose * 1.1, flesh, leaf, wood, hem=head + 0.46)


def saint(canvas, x, y, width, size, cloth, flesh, leaf, wood, hem=0.96):
    """A robed figure with its head, of radius `size`, at (x, y) before a halo."""
    canvas.fill(ellipse(x, y, 1.75 * size), leaf * 1.05)
    canvas.contour(ellipse(x, y, 1.75 * size), wood, 0.005)
    canvas.fill(robe(x, y + 0.6 * size, hem, width), cloth)
    canvas.fill(ellipse(x, y, 1.15 * size, 1.3 * size), cloth)
    canvas.orb(x, y + 0.15 * size, 0.75 * size, size, mix(flesh, wood, 0.3), flesh)


def northern_renaissance(canvas, rng):
    """A dim room with a checkered floor and one window; people in heavy cloth, the women in white headdresses."""
    dark, green, red, white, flesh, sky = palette(rng, "1d1a14 23452f 7d1f1c f1ece0 e2b995 b9d3da")
    canvas.ground(Y * 0.8 + noise(rng, 4) * 0.2, dark, mix(dark, [110, 84, 52], 0.5))
    floor, vanish = rng.uniform(0.62, 0.74), rng.uniform(0.35, 0.65)
    far = 1 / (np.clip((Y - floor) / (1 - floor), 0, 1) + 0.25)          # how many times farther than one canvas side
    checks = (np.floor((X - vanish) * far * 4) + np.floor(2.6 * far)) % 2
    canvas.glaze(box(0, floor, 1, 1), mix(white, [200, 170, 110], 0.4), (0.12 + 0.6 * checks) * (1.1 - 0.17 * far))
    side = rng.choice([0.03, 0.69])
    window = box(side, rng.uniform(0.1, 0.16), side + 0.28, rng.uniform(0.42, 0.52))
    canvas.fill(window, sky)
    canvas.contour(window, [92, 62, 36], 0.025)
    canvas.line([(side + 0.14, window[0, 1]), (side + 0.14, window[2, 1])], [92, 62, 36], 0.018)
    canvas.line([(side, window[:, 1].mean()), (side + 0.28, window[:, 1].mean())], [92, 62, 36], 0.018)
    people = rng.integers(1, 3)
    for i, cloth in enumerate(rng.permutation([green, red, mix(dark, green, 0.3)])[:people]):
        x = 0.5 + (i - (people - 1) / 2) * 0.38 + rng.uniform(-0.08, 0.08)
        y, size = rng.uniform(0.3, 0.38), rng.uniform(0.075, 0.095)
        canvas.fill(robe(x, y + 0.6 * size, rng.uniform(0.93, 1.05), rng.uniform(0.4, 0.5)), cloth)
        for fold in rng.uniform(-0.12, 0.12, 5):
            canvas.line([(x + 0.4 * fold, y + 0.25), (x + 1.4 * fold, 0.95)], cloth * 0.55, 0.01)
        wing = rng.uniform(1.3, 2.1)
        coif = spline([(-1.1, 1.3), (-wing, -0.4), (-0.8, -1.5), (0, -1.1), (0.8, -1.5), (wing, -0.4), (1.1, 1.3)], 4)
        canvas.fill(coif * size + (x, y), white)
        canvas.orb(x, y + 0.1 * size, 0.7 * size, 0.95 * size, mix(flesh, dark, 0.3), flesh, (0.7 - 2 * side, -0.2))
        canvas.fill(ellipse(x, y + 3.4 * size, 0.8 * size, 0.4 * size), flesh)


def high_renaissance(canvas, rng):
    """A pyramid of a figure before blue hills that fade into haze."""
    haze, blue, olive, umber, flesh = palette(rng, "dcd3a2 6f97a0 6f7440 3a2a1a e3b482")
    cloth, mantle = palette(rng, rng.choice(["8c2f2a 24497c", "2d2c1f 5a4a2a", "a8462e 33502f", "51492c 7d5a2c"]))
    horizon = rng.uniform(0.34, 0.46)
    canvas.ground(Y / horizon / 1.3 + 0.15 * noise(rng, 4, 8), blue * 1.05, haze, haze)
    for step in np.linspace(0, 1, 4):
        hills = ridge(rng, horizon + 0.26 * step, 0.08 * (1.1 - step), 6, 2)
        canvas.fill(hills, mix(mix(blue, haze, 0.35), mix(olive, umber, 0.45), step))
    side = rng.choice([-1, 1])
    river = spline([(0.5 + side * 0.2, horizon), (0.5 + side * 0.32, horizon + 0.09),
                    (0.5 + side * 0.24, horizon + 0.18), (0.5 + side * 0.44, horizon + 0.28)])
    canvas.fill(ribbon(river, np.linspace(0.01, 0.05, len(river))), mix(blue, haze, 0.6))
    canvas.soften()
    x, y, size = rng.uniform((0.4, 0.24, 0.08), (0.6, 0.33, 0.1))
    base = rng.uniform(0.38, 0.46)
    half = np.array([(1, 1.05), (0.5, 0.6), (0.3, y + 0.14), (0, y + 0.08)]) * (base, 1)
    canvas.fill(spline(np.vstack([half * (-1, 1), half[2::-1]])) + (x, 0), mantle)
    canvas.fill(ellipse(x, y + 0.03, 1.35 * size, 1.7 * size), umber)
    canvas.fill(robe(x, y + 0.14, 1.1, 0.36), cloth)
    canvas.fill(ellipse(x, y + 0.19, 0.09, 0.06), mix(flesh, umber, 0.12))
    canvas.orb(x, y, size, 1.3 * size, mix(flesh, umber, 0.35), flesh * 1.06, (-0.3 * side, -0.25))
    for cx, cy in rng.uniform((-0.16, 0.66), (0.16, 0.84), (2, 2)):
        canvas.orb(x + cx, cy, 0.1, 0.035, mix(flesh, umber, 0.4), flesh)
    canvas.glaze(ellipse(x - side * 0.5 * base, 0.85, 0.2, 0.5), umber, 0.45, blur=0.06)


def mannerism(canvas, rng):
    """Bodies far too long, twisted like flames in acid drapery under a livid sky."""
    night, cloud, pink, acid, yellow, flesh = palette(rng, "3a4652 9aa6ac ea5f96 8fc93a f0d443 ead0bb")
    canvas.ground(noise(rng, 4, 3) + 0.35 * noise(rng, 16, 6) - 0.3, night, mix(night, cloud, 0.4), cloud)
    people = rng.integers(1, 4)
    for x in (np.arange(people) + 0.5) / people * 0.8 + 0.1 + rng.uniform(-0.06, 0.06, people):
        lean, sway = rng.uniform(-0.08, 0.08), rng.choice([-1, 1]) * rng.uniform(0.07, 0.12)
        top, drift = rng.uniform(0.09, 0.2), rng.choice([-1, 1])
        down = np.linspace(top, 1.04, 6)
        body = spline(np.stack([x + lean * np.linspace(1, 0, 6) + sway * np.sin(np.linspace(0, 5, 6)), down], axis=1))
        girth = np.interp(np.linspace(0, 1, len(body)), [0, 0.14, 0.35, 0.75, 1], [0.02, 0.15, 0.12, 0.2, 0.1])
        cloth, scarf = rng.permutation([pink, acid, yellow])[:2]
        canvas.fill(ribbon(body, girth), flesh * 0.92)
        for arm in (-1, 1):
            reach = body[5] + np.array([(0, 0), (arm * 0.13, rng.uniform(-0.05, 0.12)),
                                        (arm * 0.1, rng.uniform(-0.22, 0.3))])
            canvas.line(spline(reach), flesh * 0.95, 0.028)
        canvas.fill(ribbon(body[9:], girth[9:] * 1.3), cloth)
        for offset in rng.uniform(-0.5, 0.5, 7):
            fold = body[10:] + np.stack([girth[10:] * offset * 1.1, np.zeros(len(body) - 10)], axis=1)
            canvas.line(fold, mix(cloth, rng.choice([255, 30]), 0.45), 0.012)
        sash = spline([body[4] + (-0.07 * drift, 0), body[14] + (0.07 * drift, 0), body[24] + (0.13 * drift, 0),
                       body[36] + (0.1 * drift, 0)])
        canvas.fill(ribbon(sash, np.linspace(0.02, 0.16, len(sash))), scarf)
        for offset in (-0.04, 0, 0.05):
            canvas.line(sash[3:] + np.linspace(0, offset, len(sash) - 3)[:, None] * (1, 0), mix(scarf, 255, 0.4), 0.012)
        canvas.orb(*body[0] - (0, 0.03), 0.035, 0.055, flesh * 0.8, flesh * 1.1)


def baroque(canvas, rng):
    """A shaft of warm light falls into the dark, on round figures and a red cloth."""
    black, umber, light, red, flesh = palette(rng, "0d0908 3b2413 f3c573 a3201b e0a168", 5)
    canvas.ground(noise(rng, 3), black, mix(black, umber, 0.7))
    side = rng.choice([-1, 1])
    source, target = (0.5 + side * 0.55, -0.1), (0.5 - side * rng.uniform(0, 0.25), rng.uniform(0.75, 0.95))
    beam = ribbon(np.array([source, target]), np.array([rng.uniform(0.05, 0.15), rng.uniform(0.5, 0.75)]))
    canvas.glaze(beam, light, 0.5 * (1.05 - Y), blur=0.04)
    people = rng.integers(2, 5)
    for x in rng.permutation(np.linspace(0.2, 0.8, people)) + rng.uniform(-0.05, 0.05, people):
        y, size = rng.uniform(0.38, 0.62), rng.uniform(0.075, 0.1)
        cloth = rng.permutation([red, umber, umber * 0.7, light * 0.75])[0]
        canvas.orb(x, y + 3.2 * size, 2.1 * size, 2.6 * size, mix(black, cloth, 0.25), cloth, (0.55 * side, -0.45))
        canvas.orb(x, y - 0.1 * size, 1.1 * size, 1.25 * size, black, umber, (0.5 * side, -0.3))
        canvas.orb(x + 0.15 * side * size, y, 0.85 * size, 1.1 * size, umber, flesh * 1.12, (0.5 * side, -0.25))
        canvas.orb(x + side * rng.uniform(0.5, 2) * size, y + 2.6 * size, 0.5 * size, 0.35 * size, umber, flesh)
    drape = spline(np.stack([np.linspace(-0.1, 1.1, 5), rng.uniform(0.84, 0.98, 5)], axis=1))
    canvas.fill(ribbon(drape, rng.uniform(0.08, 0.16)), red * 0.75)
    canvas.line(drape + (0, -0.03), red * 1.3, 0.02)
    canvas.glaze(ellipse(0.5 - side * 0.5, 0.5, 0.35, 0.8), black, 0.75, blur=0.1)


def rococo(canvas, rng):
    """Ladies in silk in a garden under rosy clouds, in an oval of gold with curls."""
    sky, rose, cream, gold, mint, flesh = palette(rng, "a9d6ea f6b3bd fdf3e0 d6aa45 b5d6b2 f7d3bd", 6)
    canvas.ground(noise(rng, 3) * 0.4 + Y * 0.4, cream, rng.permutation([rose, mint, cream, sky])[0])
    rx, ry = rng.uniform(0.36, 0.44), rng.uniform(0.36, 0.44)
    oval = ellipse(0.5, 0.5, rx, ry)
    canvas.fill(oval, sky)
    canvas.glaze(oval, mix(rose, cream, rng.uniform(0, 0.6)), np.clip(2.4 * noise(rng, 5, 6) - 0.7, 0, 1) * (1.2 - Y))
    canvas.fill(oval[2:19], mint)
    for side, count in zip((-1, 1), rng.permutation([30, 60])):
        at = rng.normal((0.5 + side * 0.6 * rx, 0.52), (0.05, 0.1), (count, 2))
        at = at[np.hypot(*((at - 0.5) / (rx, ry)).T) < 0.92]
        canvas.dots(at, 0.03, mix(mint * (0.5, 0.68, 0.6), mix(mint, sky, 0.3), rng.random(len(at))))
    for x in (0.5 + rng.uniform(-0.14, 0.14), 0.5 + rng.choice([-0.17, 0.17]))[:rng.integers(1, 3)]:
        y, silk = rng.uniform(0.4, 0.48), rng.permutation([rose * 1.02, cream, mix(sky, cream, 0.3), gold * 1.15])[0]
        canvas.fill(robe(x, y + 0.06, y + 0.36, rng.uniform(0.3, 0.36)), silk * 0.95)
        canvas.fill(robe(x, y + 0.09, y + 0.35, 0.13), mix(silk, 255, 0.55))
        canvas.fill(robe(x, y + 0.03, y + 0.17, 0.11), silk * 0.88)
        canvas.orb(x, y - 0.045, 0.036, 0.05, cream * 0.85, cream)
        canvas.orb(x, y, 0.03, 0.038, flesh * 0.85, flesh)
    canvas.contour(oval, gold * 0.7, 0.045)
    canvas.contour(oval, gold * 1.15, 0.024)
    turn = np.linspace(0, rng.uniform(8, 12), 40)
    curl = np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.linspace(0.13, 0.015, 40)[:, None]
    for corner in np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)]):
        canvas.line(0.5 + corner * (curl + 0.36), gold * 0.8, 0.026)
        canvas.line(0.5 + corner * (curl + 0.36), gold * 1.2, 0.012)
        canvas.dots(0.5 + corner * np.array([(0.46, 0.2), (0.2, 0.46)]), 0.025, rose)


def romanticism(canvas, rng):
    """A lone figure on a crag above the fog, or a ship in a storm, where the sky breaks open."""
    slate, mist, fire, night = palette(rng, "5b6f80 d5d6cc f2c06b 1a1c20")
    x, y = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.42)
    distance = np.hypot(X - x, 1.3 * (Y - y)) + 0.22 * (noise(rng, 7, 5) - 0.5)
    canvas.ground(distance * 1.25, mix(fire, 255, 0.55), fire, mist * 0.85, slate, slate * 0.55)
    if rng.random() < 0.5:
        for step in np.linspace(0, 1, 4):
            canvas.fill(ridge(rng, 0.52 + 0.3 * step, 0.09, 9, 1), mix(mist, slate * 0.6, 0.35 + 0.5 * step))
            canvas.glaze(box(-0.1, 0.56 + 0.3 * step, 1.1, 0.74 + 0.3 * step), mist, 0.75, blur=0.04)
        x, y = rng.uniform(0.3, 0.7), rng.uniform(0.7, 0.8)
        canvas.fill([(x - 0.4, 1.1), (x - 0.2, y + 0.12), (x - 0.06, y), (x + 0.07, y + 0.01), (x + 0.24, y + 0.17),
                     (x + 0.42, 1.1)], night)
        canvas.fill(robe(x, y - 0.2, y + 0.03, 0.13), night)
        canvas.fill(ellipse(x, y - 0.215, 0.028, 0.033), night)
    else:
        x, y, tilt = rng.uniform(0.3, 0.7), rng.uniform(0.58, 0.68), rng.uniform(-0.35, 0.35)
        for i, step in enumerate(np.linspace(0, 1, 6)):
            if i == 2:
                ship(canvas, x, y, tilt, night)
            wave = ridge(rng, 0.6 + 0.34 * step, 0.06 + 0.03 * step, 7, 5)
            canvas.fill(wave, mix(slate, night, 0.15 + 0.7 * step))
            canvas.line(wave[:-2], mix(mist, slate, 0.3 + 0.4 * step), 0.008)


def ship(canvas, x, y, tilt, colour):
    """Hull, masts and torn sails at (x, y), heeled by `tilt` radians."""
    turn = np.array([(np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))])
    canvas.fill(np.array([(-0.17, -0.04), (-0.12, 0.05), (0.12, 0.05), (0.19, -0.05)]) @ turn + (x, y), colour)
    for mast, height in [(-0.09, 0.2), (0.0, 0.27), (0.09, 0.21)]:
        canvas.line(np.array([(mast, 0), (mast, -height)]) @ turn + (x, y), colour, 0.01)
        canvas.fill(np.array([(mast, -height), (mast + 0.06, -0.1), (mast, -0.07)]) @ turn + (x, y), colour * 1.8)


def ukiyo_e(canvas, rng):
    """Flat indigo waves with clawing foam, Fuji far off, a red sun in a cream sky."""
    cream, indigo, blue, foam, red = palette(rng, "f2e3c0 1c2f63 4f7fae f7f3e6 cf3526", 5)
    canvas.ground(np.clip(1.1 - 4 * Y, 0, 1) ** 2, cream, mix(indigo, cream, rng.uniform(0, 0.4)))
    sea, x = rng.uniform(0.62, 0.72), rng.uniform(0.3, 0.7)
    canvas.fill(ellipse(rng.uniform(0.15, 0.85), rng.uniform(0.2, 0.34), rng.uniform(0.08, 0.12)), red)
    top, wide = rng.uniform(0.32, 0.46), rng.uniform(0.3, 0.42)
    slope = np.array([(wide, sea + 0.03), (0.4 * wide, 0.5 * (top + sea) + 0.03), (0.04, top)])
    fuji = rng.permutation([blue, blue, red * 0.85])[0]
    canvas.fill(spline(np.vstack([slope * (-1, 1), slope[::-1]])) + (x, 0), fuji)
    canvas.fill([(x - 0.04, top), (x + 0.04, top), (x + 0.12, top + 0.12), (x + 0.05, top + 0.08), (x, top + 0.13),
                 (x - 0.06, top + 0.08), (x - 0.12, top + 0.12)], foam)
    canvas.fill(ridge(rng, sea, 0.015), mix(blue, cream, 0.35))
    side, crest = rng.choice([-1, 1]), rng.uniform(0.26, 0.5)
    wave = spline([(-0.9, 1.1), (-0.72, 0.6), (-0.5, crest), (-0.2, crest - 0.05), (-0.02, crest + 0.1),
                   (-0.2, crest + 0.12), (-0.26, 0.75), (0.1, 0.92), (0.4, 1.1)]) * (side, 1) + (0.5, 0)
    canvas.fill(wave, indigo)
    for shrink in (0.8, 0.6):
        inner = wave[8:36] * (1, shrink) + (-side * 0.5 * (1 - shrink) * 0.6, 1.1 * (1 - shrink))
        canvas.line(inner, mix(blue, foam, 0.3), 0.016)
    edge = wave[12:48:2]
    canvas.dots(edge + rng.normal(0, 0.008, edge.shape), rng.uniform(0.016, 0.036, len(edge)), foam)
    canvas.dots(rng.uniform((-0.1, -0.1), (0.25, 0.2), (14, 2)) * (side, 1) + wave[32], 0.007, foam)
    for row in (0.88, 0.97):
        for scale in np.arange(rng.uniform(-0.1, 0), 1.1, 0.16):
            for radius, colour in [(0.1, foam), (0.085, indigo), (0.05, blue), (0.03, indigo)]:
                canvas.fill(ellipse(scale, row + 0.08, radius), colour)
    canvas.fill(box(0.9, 0.06, 0.95, 0.2) if side > 0 else box(0.05, 0.06, 0.1, 0.2), red)
