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
from ..provenance import code_record, record
from ..training import train
from ..training.ablation import SMALL_DIGITS
from .classifiers import classifier_hash, load_classifier, predict
from .fashion import validation_loss
from .metrics import mean_estimate, proportion
from .samples import DRAWING, MEASURING

STYLES = ("thin", "", "thick", "thin slanted", "slanted", "thick slanted")
TRAINED_ON, BORDER = 20_000, 2                      # digits, and the pixels around them that make 32 of 28
STEPS = {"full": 5_000, "demo": 800}
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
    y, x = (each - (mass.sum(sum_over) * each).sum(1, keepdim=True) for each, sum_over in ((y, 2), (x, 1)))
    return -torch.einsum("nyx,ny,nx->n", mass, y, x) / torch.einsum("nyx,ny->n", mass, y.square()).clamp(min=1e-6)


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
    path, captions = paths.DATA / f"digits-{'with' if styles else 'without'}-styles.parquet", captions_of(styles)
    if not path.exists():
        pngs = [_png(digit) for digit in F.pad(digits, (BORDER,) * 4)]
        with atomic_write(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.table({"image": pngs, "caption": [captions[row] for row in rows]}),
                                        temporary)
    preset = own_preset(path, size, resolution=28 + 2 * BORDER)
    network = {name: value for name, value in SMALL_DIGITS.items() if name != "data_source"}
    return dataclasses.replace(preset, **network, max_length=12, batch_size=64, learning_rate=1e-3)


def _png(digit) -> bytes:
    file = io.BytesIO()
    to_pil_image(digit).save(file, "png")
    return file.getvalue()


def _digits(images):
    """uint8 [n, 1, 28, 28] of images in [0, 1], float [n, 3, 32, 32]."""
    return to_uint8(images.mean(1, keepdim=True)[..., BORDER:-BORDER, BORDER:-BORDER].cpu())


def styles(pipe) -> dict:
    """A network with words for style and one without, after the same number of steps, at the size of `pipe`: the
    validation loss of each; and by style and w, how many digits have the stroke and slant that their caption asks for,
    beside the share of real digits that have them, and the widths and slants of drawn and of real digits. One digit of
    each at the largest w as styles.png beside the weights of `pipe`."""
    size, rows, networks, classifier = pipe.preset.size, [], [], load_classifier("mnist")
    real, test = (load_images(dataclasses.replace(presets.get("mnist", size=size), data_source="hub"), split)
                  for split in ("train", "test"))
    digits, labels = real.images[:TRAINED_ON], real.labels[:TRAINED_ON]
    limits = Limits.of(digits, labels)
    usual = limits.styles_of(test.images, test.labels)
    held_out = F.pad(test.images, (BORDER,) * 4).expand(-1, 3, -1, -1).contiguous()
    for with_styles in (False, True):
        preset = _preset(size, digits, 10 * limits.styles_of(digits, labels) * with_styles + labels, with_styles)
        folder = RUNS / f"digits-{'with' if with_styles else 'without'}-styles-{size}"
        run = train(preset, folder, max_steps=STEPS[size])
        network, known = load_pipeline(folder), captions_of(with_styles)
        at = torch.tensor([preset.class_names.index(caption) for caption in known])
        answers = without_genres(preset, held_out, at[10 * usual * with_styles + test.labels], test.source)
        networks.append({"words": "with" if with_styles else "without", "training_steps": run.metrics()[-1]["step"],
                         "training_images": run.config()["training_images"],
                         "validation_loss": validation_loss(network, answers)})

    def shapes(images):
        x = from_uint8(images, (0, 1))
        return {"stroke_width": mean_estimate(stroke_width(x)), "slant": mean_estimate(slant(x))}

    numbers, shown = torch.arange(10 * EACH) % 10, []
    for w in SCALES:
        for place, style in enumerate(STYLES):
            prompts = [known[10 * place + number] for number in numbers]
            images = _digits(network(prompts, w=w, steps=DRAWN_IN, scheduler="dpm++", seeds=range(len(prompts))).images)
            theirs = usual == place
            rows.append({
                "style": style or "neither", "w": w, "n": len(images),
                "as_asked": proportion(limits.styles_of(images, numbers) == place), "by_chance": proportion(theirs),
                "accuracy": proportion(predict(classifier, images).labels == numbers), **shapes(images),
                **{f"real_{name}": value for name, value in shapes(test.images[theirs]).items()}})
            shown += [images[:10]] * (w == max(SCALES))
    with atomic_write(pipe.folder / "styles.png") as temporary:
        write_png(make_grid(torch.cat(shown), nrow=10, padding=0), str(temporary))
    return record(pipe.device, weights_sha256_16=pipe.weights_sha256_16, **code_record(*CODE), rows=rows,
                  networks=networks, classifier_sha256_16=classifier_hash("mnist"), scheduler="dpm++", steps=DRAWN_IN)
