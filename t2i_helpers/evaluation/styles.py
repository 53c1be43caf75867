"""Digits with words for their style: "a thick slanted digit 5". The words are computed from the images, and the same
measures tell whether a network follows them."""

import dataclasses
import io

import pyarrow
import pyarrow.parquet
import torch
import torch.nn.functional as F
from torchvision.io import write_png
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from .. import paths, presets
from ..data import from_uint8, load_images, own_preset, to_uint8
from ..data.images import without_genres
from ..models import load_pipeline
from ..paths import RUNS, atomic_write
from ..provenance import code_record, content_hash, record
from ..training import train
from ..training.ablation import SMALL_DIGITS
from .classifiers import classifier_hash, load_classifier, predict
from .fashion import validation_loss
from .metrics import mean_estimate, proportion
from .samples import DRAWING, MEASURING

STYLES = ("thin", "", "thick", "thin slanted", "slanted", "thick slanted")
TRAINED_ON, BORDER = 20_000, 2                      # digits, and the pixels around them that make 32 of 28
STEPS = {"full": 5_000, "demo": 800}
VALIDATED = 1000
SCALES, EACH, DRAWN_IN = (1.0, 3.0), 10, 15         # images of each style and digit, and their steps
CODE = (*DRAWING, *MEASURING, "evaluation.classifiers", "evaluation.styles", "training.loop")


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


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the words mean: the thirds of each digit's training images. All float32 [10]."""

    thin: torch.Tensor                  # stroke widths below are thin
    thick: torch.Tensor                 # above are thick
    slanted: torch.Tensor               # slants above

    @classmethod
    def of(cls, digits, labels) -> "Limits":
        """Of uint8 `digits` [n, 1, h, w] of every label, int64 [n]."""
        x = from_uint8(digits, (0, 1))
        widths, slants, thirds = stroke_width(x), slant(x), torch.tensor([1 / 3, 2 / 3])
        thin, thick = torch.stack([widths[labels == label].quantile(thirds) for label in range(10)]).unbind(1)
        return cls(thin, thick, torch.stack([slants[labels == label].quantile(2 / 3) for label in range(10)]))

    def styles_of(self, digits, labels) -> torch.Tensor:
        """The places in STYLES, int64 [n], of uint8 `digits` [n, 1, h, w] of `labels`."""
        x = from_uint8(digits, (0, 1))
        widths, slanted = stroke_width(x), slant(x) > self.slanted[labels]
        return 3 * slanted + 1 + (widths > self.thick[labels]).long() - (widths < self.thin[labels]).long()


def captions_of(styles: bool) -> list[str]:
    """"a thick slanted digit 5", digit by digit in each style; or "a digit 5"."""
    return [" ".join(f"a {style} digit {digit}".split()) for style in (STYLES if styles else ("",))
            for digit in range(10)]


def _preset(size, digits, rows, styles):
    """The preset of a training on uint8 `digits` with captions `rows` of `captions_of`, from a file in ``data/``."""
    captions = [captions_of(styles)[row] for row in rows]
    words = f"{'with' if styles else 'without'}-styles"
    path = paths.DATA / f"digits-{words}-{content_hash(captions)[:8]}.parquet"
    if not path.exists():
        pngs = [_png(digit) for digit in F.pad(digits, (BORDER,) * 4)]
        with atomic_write(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.table({"image": pngs, "caption": captions}), temporary)
    preset = own_preset(path, size, resolution=28 + 2 * BORDER)
    network = {name: value for name, value in SMALL_DIGITS.items() if name != "data_source"}
    return dataclasses.replace(preset, **network, max_length=12, batch_size=64, learning_rate=1e-3)


def _png(digit) -> bytes:
    file = io.BytesIO()
    to_pil_image(digit).save(file, "png")
    return file.getvalue()


def _trained(preset, styles, test, rows):
    """(the network of `preset`, its row of "networks"): trained if it is missing, its loss on the digits of `test` with
    captions `rows` of `captions_of`."""
    words = "with" if styles else "without"
    run = train(preset, RUNS / f"digits-{words}-styles-{preset.size}", max_steps=STEPS[preset.size])
    network = load_pipeline(run.folder)
    labels = torch.tensor([preset.class_names.index(caption) for caption in captions_of(styles)])[rows]
    images = F.pad(test.images, (BORDER,) * 4).expand(-1, 3, -1, -1).contiguous()
    loss = validation_loss(network, without_genres(preset, images, labels, test.source), VALIDATED)
    return network, {"words": words, "n": VALIDATED, "training_steps": run.metrics()[-1]["step"],
                     "training_images": run.config()["training_images"], "validation_loss": loss}


def styles(pipe) -> dict:
    """A network with words for style and one without, after the same number of steps, at the size of `pipe`: the
    validation loss of each; and by style and w, how many digits have the stroke and slant that their caption asks for,
    beside the share of real digits that have them, and the widths and slants of drawn and of real digits. One digit of
    each at the largest w as styles.png beside the weights of `pipe`."""
    size, rows, shown, classifier = pipe.preset.size, [], [], load_classifier("mnist")
    real, test = (load_images(dataclasses.replace(presets.get("mnist", size=size), data_source="hub"), split)
                  for split in ("train", "test"))
    digits, labels = real.images[:TRAINED_ON], real.labels[:TRAINED_ON]
    limits = Limits.of(digits, labels)
    places, usual = limits.styles_of(digits, labels), limits.styles_of(test.images, test.labels)
    _, without = _trained(_preset(size, digits, labels, False), False, test, test.labels)
    network, with_words = _trained(_preset(size, digits, 10 * places + labels, True), True, test,
                                   10 * usual + test.labels)

    def shapes(images):
        x = from_uint8(images, (0, 1))
        return {name: mean_estimate(measure(x)) | {"n": len(x)} for name, measure in SHAPES.items()}

    numbers = torch.arange(10 * EACH) % 10
    for w in SCALES:
        for place, style in enumerate(STYLES):
            prompts = [captions_of(True)[10 * place + number] for number in numbers]
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
        write_png(make_grid(torch.cat(shown), nrow=10, padding=0), str(temporary))
    return record(pipe.device, weights_sha256_16=pipe.weights_sha256_16, **code_record(*CODE), rows=rows,
                  networks=[without, with_words], classifier_sha256_16=classifier_hash("mnist"), scheduler="dpm++",
                  steps=DRAWN_IN)
