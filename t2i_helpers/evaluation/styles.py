"""Digits with words for their style: "a thick slanted digit 5". The words are computed from the images, and the same
measures tell whether a network follows them."""

import dataclasses

import pyarrow
import pyarrow.parquet
import torch
import torch.nn.functional as F
from torchvision.io import encode_png
from torchvision.utils import save_image

from .. import paths, presets
from ..data import from_uint8, load_images, own_preset, to_uint8
from ..data.images import without_genres
from ..paths import atomic_write
from ..provenance import content_hash
from ..training import Run
from ..training.ablation import SMALL_DIGITS
from .classifiers import classifier_hash, load_classifier, predict
from .fashion import VALIDATED, trained, validation_loss
from .metrics import mean_estimate, proportion
from .samples import experiment_record

STYLES = ("thin", "", "thick", "thin slanted", "slanted", "thick slanted")
CAPTIONS = [" ".join(f"a {style} digit {digit}".split()) for style in STYLES for digit in range(10)]
TRAINED_ON, BORDER = 20_000, 2                      # digits, and the pixels around them that make 32 of 28
STEPS = {"full": 5_000, "demo": 800}
SCALES, EACH, DRAWN_IN = (1.0, 3.0), 10, 15         # images of each style and digit, and their steps


def stroke_width(digits: torch.Tensor) -> torch.Tensor:
    """2 A / P of each of `digits` [n, 1, h, w] in [0, 1], in pixels, float32 [n]: a stroke of length l and width b has
    the area A = l b, and an outline of P = 2 l, the total variation."""
    right, down = F.pad(digits, (0, 1)).diff(dim=3), F.pad(digits, (0, 0, 0, 1)).diff(dim=2)
    return 2 * digits.sum((1, 2, 3)) / (right.square() + down.square()).sqrt().sum((1, 2, 3)).clamp(min=1e-6)


def slant(digits: torch.Tensor) -> torch.Tensor:
    """How far each of `digits` [n, 1, h, w] leans to the right, in pixels a row, float32 [n]: -mu_11 / mu_02, the slope
    of x as a linear function of y by central moments, as for straightening digits."""
    mass = digits[:, 0] / digits.sum((1, 2, 3)).clamp(min=1e-6)[:, None, None]                   # [n, h, w]
    y, x = (torch.arange(size, dtype=mass.dtype) for size in mass.shape[1:])
    y, x = y - (mass.sum(2) * y).sum(1, keepdim=True), x - (mass.sum(1) * x).sum(1, keepdim=True)       # [n, h], [n, w]
    return -torch.einsum("nyx,ny,nx->n", mass, y, x) / torch.einsum("nyx,ny->n", mass, y.square()).clamp(min=1e-6)


SHAPES = {"stroke_width": stroke_width, "slant": slant}


class Limits:
    """What the words mean: the thirds of each digit's training images, float32 [10]."""

    def __init__(self, digits, labels):
        """Of uint8 `digits` [n, 1, h, w] of every label, int64 [n]."""
        x = from_uint8(digits, (0, 1))
        thirds = [torch.stack([values[labels == label].quantile(torch.tensor([1 / 3, 2 / 3])) for label in range(10)])
                  for values in (stroke_width(x), slant(x))]                            # [10, 2] each
        (self.thin, self.thick), (_, self.slanted) = (each.unbind(1) for each in thirds)

    def styles_of(self, digits, labels) -> torch.Tensor:
        """The places in STYLES, int64 [n], of uint8 `digits` [n, 1, h, w] of `labels`."""
        x = from_uint8(digits, (0, 1))
        widths, slanted = stroke_width(x), slant(x) > self.slanted[labels]
        return 3 * slanted + 1 + (widths > self.thick[labels]).long() - (widths < self.thin[labels]).long()


def _preset(size, words, digits, rows):
    """The preset of a training on uint8 `digits` with the captions `rows` of CAPTIONS, from a file in ``data/``."""
    captions = [CAPTIONS[row] for row in rows]
    path = paths.DATA / f"digits-{words}-styles-{content_hash(captions)[:8]}.parquet"
    if not path.exists():
        pngs = [encode_png(digit).numpy().tobytes() for digit in F.pad(digits, (BORDER,) * 4)]
        with atomic_write(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.table({"image": pngs, "caption": captions}), temporary)
    preset = own_preset(path, size, resolution=28 + 2 * BORDER)
    return dataclasses.replace(preset, **SMALL_DIGITS | {"data_source": preset.data_source}, max_length=12,
                               batch_size=64, learning_rate=1e-3)


def styles(pipe) -> dict:
    """A network without words for style and one with them, after the same number of steps, at the size of `pipe`: the
    validation loss of each; and by style and w, how many digits have the stroke and slant that their caption asks for,
    beside the share of real digits that have them, and the widths and slants of drawn and of real digits. One digit of
    each at the largest w as styles.png beside the weights of `pipe`."""
    size, rows, shown, networks, classifier = pipe.preset.size, [], [], [], load_classifier("mnist")
    train, test = (load_images(dataclasses.replace(presets.get("mnist", size=size), data_source="hub"), split)
                   for split in ("train", "test"))
    digits, labels = train.images[:TRAINED_ON], train.labels[:TRAINED_ON]
    limits = Limits(digits, labels)
    places, usual = limits.styles_of(digits, labels), limits.styles_of(test.images, test.labels)
    padded = F.pad(test.images, (BORDER,) * 4).expand(-1, 3, -1, -1).contiguous()
    plain = torch.tensor(STYLES.index(""))
    for words, style, real_style in (("without", plain, plain), ("with", places, usual)):
        preset = _preset(size, words, digits, 10 * style + labels)
        network = trained(preset, f"digits-{words}-styles", max_steps=STEPS[size])
        classes = torch.tensor([preset.class_names.index(CAPTIONS[row]) for row in 10 * real_style + test.labels])
        run = Run(network.folder)
        networks.append({
            "words": words, "n": VALIDATED, "training_steps": run.metrics()[-1]["step"],
            "training_images": run.config()["training_images"],
            "validation_loss": validation_loss(network, without_genres(preset, padded, classes, test.source))})

    def shapes(images):
        x = from_uint8(images, (0, 1))
        return {name: mean_estimate(measure(x)) | {"n": len(x)} for name, measure in SHAPES.items()}

    numbers = torch.arange(10 * EACH) % 10
    for w in SCALES:
        for place, style in enumerate(STYLES):
            prompts = [CAPTIONS[10 * place + number] for number in numbers]
            drawn = network(prompts, w=w, steps=DRAWN_IN, scheduler="dpm++", seeds=range(len(prompts))).images
            images = to_uint8(drawn.mean(1, keepdim=True)[..., BORDER:-BORDER, BORDER:-BORDER].cpu())
            theirs = usual == place
            rows.append({
                "style": style or "none", "w": w, "n": len(images),
                "as_asked": proportion(limits.styles_of(images, numbers) == place),
                "by_chance": proportion(theirs) | {"n": len(theirs)},
                "accuracy": proportion(predict(classifier, images).labels == numbers), **shapes(images),
                **{f"real_{name}": value for name, value in shapes(test.images[theirs]).items()}})
            if w == max(SCALES):
                shown.append(images[:10])
    with atomic_write(pipe.folder / "styles.png") as temporary:
        save_image(torch.cat(shown) / 255, temporary, nrow=10, padding=0)
    return experiment_record(pipe, "evaluation.classifiers", "evaluation.styles", "training.loop", rows=rows,
                             networks=networks, classifier_sha256_16=classifier_hash("mnist"), scheduler="dpm++",
                             steps=DRAWN_IN)
