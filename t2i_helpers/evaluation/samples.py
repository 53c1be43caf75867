"""A cache of generated images: when a metric changes, the images need not be drawn again.

A store is a folder under ``data/samples`` with samples.json, its metadata, and the images in parts, so that an
interrupted call resumes. The folder's name has a hash of the metadata: another checkpoint, guider, scale, scheduler,
number of steps, seed or version of the drawing code makes another store.
"""

import contextlib
from pathlib import Path

import torch
from safetensors import safe_open
from tqdm.auto import tqdm

from ..data import captions, every_caption, to_uint8
from ..diffusion import make_scheduler
from ..errors import BadValue, OutputError, or_raise
from ..paths import DATA, cache_folder, directory_lock, read_json, save_tensors
from ..presets import preset_hash
from ..provenance import code_record, content_hash, record, write_json

PART = 250                      # images a file

# The modules whose code decides a number. Results and caches carry a hash of it, `provenance.code_record`.
DRAWING = ("diffusion", "models.pipeline", "models.unet", "models.dit", "models.latents", "models.text", "randomness")
MEASURING = ("evaluation.metrics", "evaluation.features")
JUDGES = {"mnist": "evaluation.classifiers", "cifar10": "evaluation.classifiers", "wikiart": "evaluation.paintings",
          "own": "evaluation.paintings", "fashion": "evaluation.classifiers"}
NETWORKS = {"classifier": "evaluation.classifiers", "efficientnet": "models.efficientnet",
            "inception": "evaluation.features"}


def experiment_record(pipe, *modules: str, **content) -> dict:
    """The result of an experiment on `pipe`: `content`, the hash of the weights, and that of the code that draws and
    measures, `modules` included."""
    return record(pipe.device, weights_sha256_16=pipe.weights_sha256_16,
                  **code_record(*DRAWING, *MEASURING, *modules), **content)


class SampleStore:
    """The images of one (checkpoint, guider, scheduler, steps, seeds) in `folder`."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def metadata(self) -> dict:
        """The content of samples.json; BadValue where it cannot be read."""
        with or_raise(BadValue, f"{self.folder} is no sample store", "draw the samples again"):
            return read_json(self.folder / "samples.json")

    def load(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """(images uint8 [n, c, h, w], labels int64 [n], forward passes an image); BadValue for a store that is empty,
        incomplete or damaged."""
        images, labels = [], []
        for path in sorted(self.folder.glob("part-*.safetensors")):
            remedy = "delete it and run the same command again"
            with or_raise(BadValue, f"{path} is damaged", remedy), safe_open(path, "pt") as file:
                images.append(file.get_tensor("images"))
                labels.append(file.get_tensor("labels"))
                passes = int(file.metadata()["forward_passes"])
        first, last = self.metadata()["first_and_last_seed"]
        if (n := sum(map(len, labels))) != last - first + 1:
            raise BadValue(f"the sample store {self.folder} holds {n} of {last - first + 1} images: run the same "
                           "command again to complete it")
        return torch.cat(images), torch.cat(labels), passes


def draw_samples(
    pipe, w: float, n: int, *, steps: int | None = None, scheduler: str | None = None, guider: str = "cfg",
    prompts: list[str] | None = None, asked: torch.Tensor | None = None,
) -> SampleStore:
    """The store of `n` images at scale `w`, image i from seed i and of class i mod k; missing parts are drawn.

    `prompts` are one text a class, by default the dataset's captions; `asked`, int64 [n], rows of `every_caption` to
    use instead, which are then the store's labels. BadValue, with a count, if images hold NaN; that part is not kept.
    """
    if n < 2:
        raise BadValue(f"samples = {n}: draw at least 2 images")
    if pipe.weights_sha256_16 is None:
        raise BadValue("the pipeline was not loaded from a folder: save and load it, so that its weights can be named")
    preset, w = pipe.preset, float(w)
    texts = captions(preset) if asked is None else every_caption(preset)
    if prompts is not None and len(prompts) != len(texts):
        raise BadValue(f"{len(prompts)} prompts for {len(texts)} classes: give one text a class, in their order")
    texts, rule = list(prompts or texts), pipe.make_guider(guider, w)
    metadata = {
        "dataset": preset.dataset, "variant": preset.variant, "preset_hash": preset_hash(preset),
        "weights_sha256_16": pipe.weights_sha256_16, "captions": texts,
        "guider": guider, "w": w, "scheduler": scheduler or preset.scheduler,
        "timestep_spacing": make_scheduler(preset, scheduler).config.get("timestep_spacing", "trailing"),
        "steps": preset.sample_steps if steps is None else steps, "first_and_last_seed": [0, n - 1],
        **rule.metadata, **code_record(*DRAWING),
        **({} if asked is None else {"asked": content_hash(asked.tolist())}),
        **({} if pipe.dtype == torch.float32 else {"precision": str(pipe.dtype)}),
    }
    labels = torch.arange(n) % len(texts) if asked is None else asked
    name = f"{preset.dataset}-{preset.variant}-w{w:g}-{content_hash(metadata)[:12]}"
    store = SampleStore(DATA / "samples" / name)
    parts = {range(first, min(first + PART, n)): f"part-{first:06d}.safetensors" for first in range(0, n, PART)}
    with contextlib.suppress(BadValue):
        if store.metadata() and all((store.folder / part).exists() for part in parts.values()):
            return store
    store = SampleStore(cache_folder(store.folder))
    write_json(store.folder / "samples.json", metadata)
    paths = {seeds: store.folder / part for seeds, part in parts.items()}
    missing = sum(not path.exists() for path in paths.values())
    for seeds in tqdm(missing_parts(paths), total=missing, unit=f"×{min(n, PART)} images", desc=f"w = {w:g}"):
        part = labels[seeds.start:seeds.stop]
        drawn = pipe([texts[label] for label in part], seeds=seeds, steps=metadata["steps"],
                     scheduler=metadata["scheduler"], guider=rule)
        if bad := int((~drawn.images.isfinite()).flatten(1).any(1).sum()):
            raise BadValue(f"{bad} of {len(part)} images hold NaN at w = {w:g}, nothing of them was kept: use another "
                           "checkpoint or a smaller w")
        save_tensors(paths[seeds], {"images": to_uint8(drawn.images).cpu(), "labels": part},
                     {"forward_passes": str(drawn.forward_passes)})
    return store


def missing_parts(paths: dict):
    """Yield the keys of `paths` whose file is missing, each while this process alone may write it. So any number of
    processes share the work: each takes a part that no other is drawing, and at the end waits for the others."""
    for wait in (False, True):
        for key, path in [(key, path) for key, path in paths.items() if not path.exists()]:
            with contextlib.suppress(*(() if wait else (OutputError,))), directory_lock(path, wait):
                if not path.exists():
                    yield key
