"""Generated images are drawn once, kept whole or not at all, and never taken for those of something else."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import refuses, small_preset

from t2i_helpers import provenance
from t2i_helpers.data import captions
from t2i_helpers.diffusion import SCHEDULERS, Samples, make_guider, make_scheduler
from t2i_helpers.errors import BadValue, UnknownName
from t2i_helpers.evaluation import SampleStore, draw_samples, samples
from t2i_helpers.models import WEIGHTS
from t2i_helpers.provenance import file_hash
from t2i_helpers.randomness import generator


class FakePipe:
    """A checkpoint whose image of a seed is noise in 256 grey levels; remembers what it was asked."""

    def __init__(self, folder, weights=b"weights"):
        self.folder, self.preset, self.asked = folder, small_preset(), []
        self.scheduler = make_scheduler(self.preset)
        (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(weights)
        self.weights_sha256_16, self.device, self.dtype = file_hash(folder / WEIGHTS), "cpu", torch.float32

    def __call__(self, prompts, *, seeds, **options):
        self.asked.append(dict(prompts=prompts, seeds=list(seeds), **options))
        return Samples(torch.stack([self.draw(seed) for seed in seeds]).float() / 255, 14)

    def make_guider(self, name, w):
        return make_guider(name, w)

    def draw(self, seed):
        return torch.randint(256, (1, 4, 4), generator=generator("fake", seed))

    @property
    def seeds_drawn(self):
        return [seed for call in self.asked for seed in call["seeds"]]


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "DATA", tmp_path / "data")
    monkeypatch.setattr(samples, "PART", 3)
    return FakePipe(tmp_path / "checkpoint")


def test_image_i_is_seed_i_s_with_the_classes_in_turn(pipe):
    images, labels, passes = draw_samples(pipe, 2.0, 23).load()
    assert images.dtype == torch.uint8 and images.shape == (23, 1, 4, 4) and passes == 14
    assert torch.equal(images, torch.stack([pipe.draw(seed) for seed in range(23)])), "256 levels do not come back"
    assert labels.tolist() == [seed % 10 for seed in range(23)]
    prompts = [prompt for call in pipe.asked for prompt in call["prompts"]]
    assert prompts == [captions(pipe.preset)[label] for label in labels]


def test_metadata_names_what_was_drawn_and_how_and_that_is_what_was_asked_for(pipe):
    metadata = draw_samples(pipe, 3.5, 4, steps=7, scheduler="dpm++", guider="cfg-original").metadata()
    asked = dict(dataset="mnist", variant="improved", w=3.5, steps=7, scheduler="dpm++", guider="cfg-original",
                 first_and_last_seed=[0, 3])
    assert metadata.items() >= asked.items() and "diffusion" in metadata["code"]["modules"]
    for call in pipe.asked:
        assert (call["steps"], call["scheduler"]) == (7, "dpm++")
        assert call["guider"] == make_guider("cfg-original", 3.5)
    for name in (*SCHEDULERS, "dpm++ spacing=linspace"):
        spacing = make_scheduler(pipe.preset, name).config.timestep_spacing
        assert draw_samples(pipe, 2.0, 2, scheduler=name).metadata()["timestep_spacing"] == spacing


@pytest.mark.parametrize("change, same", [
    *((change, True) for change in (
        {}, dict(w=2), dict(w=torch.tensor(2.0)), dict(steps=small_preset().sample_steps), dict(scheduler="ddpm"),
        dict(guider="cfg"))),
    *((change, False) for change in (
        dict(w=2.0001), dict(n=5), dict(steps=2), dict(scheduler="ddim"), dict(scheduler="ddpm spacing=leading"),
        dict(guider="cfg-original"), dict(variant="thesis"), dict(caption="The number {}"), dict(text_encoder="bert"),
        dict(max_length=12), dict(pixel_range=(0.0, 1.0)), dict(timestep_spacing="leading"),
        dict(beta_schedule="linear"), dict(weights=b"trained on"), dict(dtype=torch.bfloat16), dict(code="rewritten"))),
], ids=str)
def test_only_another_sampling_preset_or_code_or_other_weights_make_another_store(pipe, change, same, monkeypatch):
    first, asked = draw_samples(pipe, 2.0, 4), dict(w=2.0, n=4)
    pipe = FakePipe(pipe.folder, change.get("weights", b"weights"))
    for name, value in change.items():
        if name in ("w", "n", "steps", "scheduler", "guider"):
            asked[name] = value
        elif name == "code":
            monkeypatch.setattr(provenance, "_bare_code", lambda file: value)
        elif name == "dtype":
            pipe.dtype = value
        elif name != "weights":
            pipe.preset = dataclasses.replace(pipe.preset, **{name: value})
    second = draw_samples(pipe, **asked)
    assert (second.folder == first.folder) == same
    assert pipe.seeds_drawn == ([] if same else list(range(len(second.load()[1]))))
    assert second.metadata().get("precision") == ("torch.bfloat16" if "dtype" in change else None)


def test_an_interrupted_sweep_is_no_complete_store_and_goes_on_where_it_stopped(pipe, tmp_path, monkeypatch):
    pipe.draw = lambda seed: type(pipe).draw(pipe, seed) if seed < 3 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        draw_samples(pipe, 2.0, 8)
    del pipe.draw
    [folder] = (samples.DATA / "samples").iterdir()
    with refuses(BadValue, "3 of 8 images", "run the same command again"):
        SampleStore(folder).load()
    pipe.asked.clear()
    resumed = draw_samples(pipe, 2.0, 8)
    assert pipe.seeds_drawn == [3, 4, 5, 6, 7]
    monkeypatch.setattr(samples, "DATA", tmp_path / "elsewhere")
    whole = draw_samples(pipe, 2.0, 8)
    assert whole.folder != resumed.folder and whole.metadata() == resumed.metadata()
    for one, other in zip(resumed.load(), whole.load()):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_images_that_hold_nan_are_counted_and_nothing_of_their_part_is_kept(pipe):
    pipe.draw = lambda seed: type(pipe).draw(pipe, seed) * (float("nan") if seed in (4, 5, 7) else 1.0)
    with refuses(BadValue, "2 of 3 images", "w = 2"):
        draw_samples(pipe, 2.0, 8)
    assert pipe.seeds_drawn == [0, 1, 2, 3, 4, 5]
    [folder] = (samples.DATA / "samples").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["part-000000.safetensors", "samples.json"]


def rewrite(path, passes="14", **changes):
    tensors = {name: value for name, value in (load_file(path) | changes).items() if value is not None}
    save_file(tensors, path, metadata=passes and {"forward_passes": passes})


@pytest.mark.parametrize("damage, words", [
    (lambda part: part.write_bytes(part.read_bytes()[:-1]), ["part-000003", "damaged"]),
    (lambda part: rewrite(part, labels=None), ["part-000003", "damaged", "labels"]),
    (lambda part: rewrite(part, passes=None), ["part-000003", "damaged"]),
    (lambda part: rewrite(part, passes="many"), ["part-000003", "damaged", "many"]),
    (lambda part: part.unlink(), ["5 of 8 images"]),
    (lambda part: (part.parent / "samples.json").unlink(), ["draw the samples again"]),
    (lambda part: (part.parent / "samples.json").write_text("{"), ["draw the samples again"]),
], ids=["cut short", "no labels", "no facts", "odd facts", "missing", "no metadata", "damaged metadata"])
def test_a_damaged_part_or_metadata_are_refused_and_drawn_again_alone(pipe, damage, words):
    store = draw_samples(pipe, 2.0, 8)
    whole, metadata, part = store.load()[0], store.metadata(), store.folder / "part-000003.safetensors"
    damage(part)
    with refuses(BadValue, str(store.folder), *words):
        store.load()
    pipe.asked.clear()
    part.unlink(missing_ok=True)
    again = draw_samples(pipe, 2.0, 8)
    assert torch.equal(again.load()[0], whole) and again.metadata() == metadata
    assert pipe.seeds_drawn == [3, 4, 5]


@pytest.mark.parametrize("wrong, error, words", [
    *((dict(n=n), BadValue, (f"samples = {n}", "at least 2")) for n in (-3, 0, 1)),
    (dict(prompts=["7", "8"]), BadValue, ["2 prompts for 10"]), (dict(w=float("nan")), BadValue, ["w = nan"]),
    (dict(guider="cfg+"), UnknownName, ["'cfg+'"]), (dict(scheduler="euler-a"), UnknownName, ["'euler-a'"]),
], ids=str)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(pipe, wrong, error, words):
    with refuses(error, *words):
        draw_samples(pipe, **dict(w=2.0, n=4) | wrong)
    assert not pipe.asked and not samples.DATA.exists()
    pipe.weights_sha256_16 = None                                                   # never saved
    with refuses(BadValue, "save and load it"):
        draw_samples(pipe, 2.0, 4)


@pytest.mark.parametrize("killed", [False, True])
def test_processes_share_the_parts_and_take_over_those_of_a_killed_one(killed, tmp_path):
    paths = {first: tmp_path / f"part-{first}" for first in (0, 1)}
    code = ("import sys, time, pathlib; from t2i_helpers.paths import directory_lock\n"
            "part = pathlib.Path(sys.argv[1])\n"
            "with directory_lock(part): print('mine', flush=True); time.sleep(1 + 60 * int(sys.argv[2])); part.touch()")
    with subprocess.Popen([sys.executable, "-c", code, paths[0], str(int(killed))], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"mine\n"
        drawn = []
        for part in samples.missing_parts(paths):
            drawn.append(part)
            paths[part].touch()
            if killed:
                other.kill()
    assert drawn == [1, 0][:1 + killed] and sorted(tmp_path.iterdir()) == [*paths.values()]
