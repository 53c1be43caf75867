"""What the procedural paintings are painted with: palettes, fields, shapes and a canvas.

Lengths are in units of the canvas side, x to the right and y down; colours are float RGB in 0..255, ``[..., 3]``.
Shapes and paths are points ``[n, 2]``; fields are float32 ``[SIDE, SIDE]`` in 0..1.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

SIDE = 320                                                   # pixels; a painting is shrunk from here, which smooths it
Y, X = (np.mgrid[0:SIDE, 0:SIDE] / SIDE).astype(np.float32)


# Palettes

def palette(rng, colours: str, spread: float = 7) -> np.ndarray:
    """Colours [n, 3] of space-separated hex codes, each a little off, and all a little lighter or darker."""
    pure = np.array([list(bytes.fromhex(colour)) for colour in colours.split()], float)
    return np.clip(pure + rng.normal(0, spread, pure.shape) + rng.normal(0, spread), 0, 255)


def mix(a, b, share=0.5) -> np.ndarray:
    """From colour `a` (share 0) to colour `b` (share 1); shares [n] give colours [n, 3]."""
    share = np.asarray(share)[..., None]
    return a * (1 - share) + b * share


# Fields

def noise(rng, columns: int, rows: int | None = None) -> np.ndarray:
    """A smooth random field with so many bumps across and down."""
    coarse = Image.fromarray(rng.random((rows or columns, columns), dtype=np.float32))
    return np.clip(np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)), 0, 1)


def stripes(period: float, angle: float) -> np.ndarray:
    """Hard stripes, 0 or 1, that advance along `angle` (radians)."""
    return np.float32((X * np.cos(angle) + Y * np.sin(angle)) % period < period / 2)


def halftone(period: float) -> np.ndarray:
    """A grid of hard round dots, 0 or 1."""
    return np.float32(np.hypot(X % period - period / 2, Y % period - period / 2) < 0.33 * period)


# Shapes and paths

def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0) -> np.ndarray:
    """Its outline [40, 2], from angle 0 clockwise; `turn` in radians."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    across, down = rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)
    return np.stack([x + across * np.cos(turn) - down * np.sin(turn),
                     y + across * np.sin(turn) + down * np.cos(turn)], axis=1)


def facet(rng, x: float, y: float, radius: float) -> np.ndarray:
    """A random four-sided plane around (x, y)."""
    angle = (np.arange(4) + rng.uniform(-0.35, 0.35, 4) + rng.uniform(0, 4)) * np.pi / 2
    reach = radius * rng.uniform(0.6, 1.2, 4)
    return np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)


def spline(points, steps: int = 8) -> np.ndarray:
    """The Catmull-Rom curve through `points` [m, 2], with so many steps from each to the next."""
    p = np.asarray(points, float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    a, b, c, d = (p[i:len(p) - 3 + i, None] for i in range(4))                            # each [m - 1, 1, 2]
    t = np.arange(steps)[:, None] / steps
    curve = b + ((c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3) / 2
    return np.vstack([curve.reshape(-1, 2), p[-2]])


def normals(path: np.ndarray) -> np.ndarray:
    """Unit vectors [n, 2] across the path."""
    along = np.gradient(path, axis=0)
    return along[:, ::-1] * (-1, 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)


def ribbon(path: np.ndarray, width) -> np.ndarray:
    """The outline of a path as wide as `width`: one number, or one for each point."""
    half = normals(path) * np.broadcast_to(width, len(path))[:, None] / 2
    return np.vstack([path + half, (path - half)[::-1]])


def ridge(rng, y: float, height: float, bumps: int = 5, steps: int = 8) -> np.ndarray:
    """All that lies below a random line around `y`: hills with many steps, crags with one."""
    across = np.linspace(-0.1, 1.1, bumps + 2)
    line = spline(np.stack([across, y + height * rng.uniform(-1, 1, bumps + 2)], axis=1), steps)
    return np.vstack([line, (1.1, 1.1), (-0.1, 1.1)])


def robe(x: float, top: float, bottom: float, width: float) -> np.ndarray:
    """A clothed body from the neck to the hem."""
    height = bottom - top
    right = spline([(0.08, 0), (0.28, 0.1), (0.36, 0.32), (0.4, 0.65), (0.5, 1)]) * (width, height) + (x, top)
    return np.vstack([right, (right * (-1, 1) + (2 * x, 0))[::-1]])


def scatter(rng, columns: int, rows: int) -> np.ndarray:
    """Points [columns * rows, 2], one anywhere in each cell of a grid, in random order."""
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    return rng.permutation((cells + rng.random(cells.shape)) / (columns, rows))


# The canvas

def pixels(points, side: int = SIDE) -> list[float]:
    """Points [n, 2] as ImageDraw takes them: x, y, x, y ... in pixels, rounded so that no last digit counts."""
    return (np.asarray(points) * side).round(3).ravel().tolist()


def rgb(colour) -> tuple[int, int, int]:
    return tuple(np.clip(colour, 0, 255).astype(int).tolist())


class Canvas:
    """A square image and the ways to put paint on it."""

    def __init__(self):
        self.image = Image.new("RGB", (SIDE, SIDE))
        self.draw = ImageDraw.Draw(self.image)

    def ground(self, field: np.ndarray, *colours) -> None:
        """Cover all of it: `field` leads from the first colour to the last."""
        stops = np.linspace(0, 255, len(colours))
        ramp = np.stack([np.interp(np.arange(256), stops, channel) for channel in np.transpose(colours)], axis=1)
        levels = (np.clip(field, 0, 1) * 255).astype(np.uint8)
        self.image.paste(Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8)[levels]))

    def fill(self, shape, colour) -> None:
        self.draw.polygon(pixels(shape), rgb(colour))

    def line(self, path, colour, width: float = 0.006) -> None:
        self.draw.line(pixels(path), rgb(colour), max(1, round(width * SIDE)), joint="curve")

    def contour(self, shape, colour, width: float = 0.006) -> None:
        """The shape's outline, closed."""
        self.line(np.vstack([shape, shape[:2]]), colour, width)

    def shade(self, plane, near, far, steps: int = 5) -> None:
        """A four-sided plane, from the colour `near` at its first side to `far` at the opposite one."""
        a, b, c, d = np.asarray(plane)
        share = np.linspace(0, 1, steps + 1)
        left, right = mix(a, d, share), mix(b, c, share)                                  # each [steps + 1, 2]
        for i, colour in enumerate(mix(near, far, share[:-1])):
            self.fill((left[i], right[i], right[i + 1], left[i + 1]), colour)

    def orb(self, x, y, rx, ry, dark, light, towards=(-0.3, -0.3)) -> None:
        """A round thing, lit from the side of `towards` (in radii)."""
        for share in np.linspace(0, 1, 5 + int(40 * max(rx, ry))):
            shift, left = 0.75 * share * np.array(towards), 1 - 0.75 * share
            self.fill(ellipse(x + shift[0] * rx, y + shift[1] * ry, rx * left, ry * left), mix(dark, light, share))

    def glaze(self, shape, colour, opacity=1.0, blur: float = 0) -> None:
        """A translucent shape; `opacity` is a number or a field, `blur` the softness of the edge."""
        side = SIDE // 4 if blur else SIDE                               # soft edges need few pixels
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).polygon(pixels(shape, side), 255)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        covered = np.asarray(mask) * np.clip(np.float32(opacity), 0, 1)
        self.image.paste(rgb(colour), mask=Image.fromarray(covered.astype(np.uint8)))

    def soften(self) -> None:
        """Smoke over everything so far: no edge stays sharp."""
        self.image.paste(self.image.reduce(8).resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    def mirror(self) -> None:
        """Left becomes right."""
        self.image.paste(ImageOps.mirror(self.image))

    def strokes(self, at, angles, length, width: float, colours) -> None:
        """Short straight strokes centred `at` [n, 2], one of `angles` [n] and `colours` [n, 3] for each."""
        half = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(length, (-1, 1)) / 2
        ends = (np.hstack([at - half, at + half]) * SIDE).round(3).tolist()
        for end, colour in zip(ends, np.clip(colours, 0, 255).astype(int).tolist()):
            self.draw.line(end, tuple(colour), max(1, round(width * SIDE)))

    def dots(self, at, radii, colours) -> None:
        """Discs centred `at` [n, 2]; `radii` and `colours` are one for all or one for each."""
        radii = np.broadcast_to(radii, len(at))[:, None]
        colours = np.broadcast_to(np.clip(colours, 0, 255).astype(int), (len(at), 3)).tolist()
        for bounds, colour in zip((np.hstack([at - radii, at + radii]) * SIDE).round(3).tolist(), colours):
            self.draw.ellipse(bounds, tuple(colour))

    def brush(self, rng, path, colour, width: float) -> None:
        """One long stroke of a wide brush, whose bristles run dry at both ends."""
        self.fill(ribbon(path, width), colour)
        across, reach = normals(path), (path[-1] - path[-2]) + (path[1] - path[0])
        for offset in np.linspace(-0.48, 0.48, max(4, round(width * 90))):
            bristle = path + across * offset * width
            ends = bristle[0] - reach * rng.uniform(0, 0.5), bristle[-1] + reach * rng.uniform(0, 0.5)
            self.line(np.vstack([ends[0], bristle, ends[1]]), colour + rng.normal(0, 14), 0.007)

    def colours_at(self, at) -> np.ndarray:
        """The colours [n, 3] under points [n, 2], float."""
        column, row = np.clip(np.asarray(at) * SIDE, 0, SIDE - 1).astype(int).T
        return np.asarray(self.image)[row, column].astype(float)

    def finish(self, rng, size: int) -> Image.Image:
        """The painting at `size` x `size` pixels, on woven canvas."""
        weave = rng.integers(-5, 6, (SIDE, SIDE, 1), dtype=np.int16)
        grained = np.clip(np.asarray(self.image) + weave, 0, 255).astype(np.uint8)
        return Image.fromarray(grained).resize((size, size), Image.Resampling.BOX)
