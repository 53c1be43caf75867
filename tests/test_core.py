"""The core modules: presets, paths, provenance, randomness; and which subpackage may import which."""

import ast
import dataclasses
import errno
import hashlib
import os
import subprocess
import sys
from unittest import mock

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers import hub, paths, presets, provenance
from t2i_helpers.errors import OutputError, UnknownName
from t2i_helpers.models import build_unet
from t2i_helpers.randomness import generator, seed_from

CORE = {"presets", "paths", "provenance", "errors", "randomness", "intervals", "hub", "__init__"}
LAYERS = ["data", "diffusion", "models", "training", "evaluation", "reporting"]
PACKAGE = paths.ROOT / "t2i_helpers"


def imports(file):
    here = file.relative_to(paths.ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            base = [*here[:len(here) + 1 - node.level]] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("t2i_helpers."))


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_subpackage_imports_only_from_its_left_and_the_core_from_none(file):
    place = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if place == "cli":                                                       # the command line imports all
        return
    allowed = CORE | set(LAYERS[:LAYERS.index(place) + 1] if place in LAYERS else [])
    assert place in allowed and not set(imports(file)) - allowed - {"__version__"}


@pytest.mark.parametrize("modules, unneeded", [
    ("t2i_helpers, t2i_helpers.presets, t2i_helpers.errors", {"torch", "numpy", "diffusers", "datasets", "matplotlib"}),
    ("t2i_helpers.data", {"diffusers", "transformers", "datasets", "pyarrow", "torchvision", "PIL", "fsspec"}),
    ("t2i_helpers.diffusion", {"t2i_helpers.data"}),
])
def test_an_import_loads_no_library_that_it_does_not_need(modules, unneeded):
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=paths.ROOT)
    assert not unneeded & set(loaded.stdout.split())


def test_the_hub_is_asked_again_after_a_timeout(monkeypatch):
    answers = mock.Mock(side_effect=[TimeoutError("too slow"), None, None])
    monkeypatch.setattr(hub, "OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", answers)
    assert hub.download(lambda: constants.HF_HUB_OFFLINE) and hub.reachable()
    assert not hub.download(lambda: constants.HF_HUB_OFFLINE)


@given(st.tuples(st.integers(), st.text("abc"), st.integers()), st.tuples(st.integers(), st.text("abc"), st.integers()))
def test_seeds_and_generators_are_equal_exactly_when_their_keys_are(key, other):
    assert 0 <= seed_from(*key) < 2**63
    assert (seed_from(*key) == seed_from(*other)) == (key == other)
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    assert seed_from(*key) == int.from_bytes(digest, "big") // 2                      # seeds never change
    before, draws = torch.get_rng_state(), [torch.randn(4, generator=generator(*each)) for each in (key, key, other)]
    assert torch.equal(draws[0], draws[1]) and torch.equal(draws[0], draws[2]) == (key == other)
    assert torch.equal(before, torch.get_rng_state())


def test_atomic_write_makes_folders_and_replaces_the_file_only_with_a_whole_one(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    paths.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), paths.atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    paths.write_text(path, "new")
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_only_errors_of_the_output_are_output_errors(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(FileNotFoundError, match="input"), paths.atomic_write(path) as temporary:
        temporary.write_bytes((tmp_path / "input").read_bytes())
    with pytest.raises(OSError, match="truncated"), paths.atomic_write(path):
        raise OSError("image file is truncated")                            # as Pillow says of an input
    with refuses(OutputError, str(path), "No space left"), paths.atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("action", [lambda path: paths.write_text(path, "new"), paths.check_writable])
@pytest.mark.parametrize("where", ["folder", "pipe", "file/x.png", "file/deeper/x.png", "/proc/nowhere/x.png"])
def test_paths_that_cannot_be_written_are_refused(tmp_path, where, action):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")                                            # as /dev/stdout is in a shell's pipe
    with refuses(OutputError, where, "choose another"):
        action(tmp_path / where)
    for writable in ("file", "new/y.png"):                                  # checking them writes nothing
        paths.check_writable(tmp_path / writable)
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "pipe"} and (tmp_path / "pipe").is_fifo()


def test_git_state_tells_commit_and_changed_code(tmp_path, monkeypatch):
    def git(*arguments):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        return subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)

    unknown = {"git_commit": None, "git_dirty": None}
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.git_state() == unknown
    git("init")
    (tmp_path / "pyproject.toml").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = provenance.git_state()
    assert clean == {"git_commit": git("rev-parse", "HEAD").stdout.strip(), "git_dirty": False}
    (tmp_path / "pyproject.toml").write_text("2")
    assert provenance.git_state() == clean | {"git_dirty": True}
    (tmp_path / "inside ü").mkdir()                                         # a repository around ours is not ours
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "inside ü")
    assert provenance.git_state() == unknown


ALL = [presets.get(d, v, s) for d in presets.DATASETS for v in presets.VARIANTS for s in presets.SIZES]
FIELDS = [field.name for field in dataclasses.fields(presets.Preset)]


@pytest.mark.parametrize("preset", ALL, ids=lambda p: f"{p.dataset}-{p.variant}-{p.size}")
def test_a_size_changes_how_much_never_what(preset):
    how_much = {"size", "data_source", "text_encoder", "max_steps", "batch_size", "epochs", "sample_steps",
                "warmup_steps", "ema_decay"}
    if preset.dataset != "mnist":           # on a CPU the same network, narrower
        how_much |= {"block_channels", "down_blocks", "layers_per_block", "cross_attention_dim", "attention_head_dim"}
    if preset.dataset == "wikiart":         # and of a quarter of the pixels, with the rate of a small network
        how_much |= {"resolution", "learning_rate"}
    full = presets.get(preset.dataset, preset.variant, "full")
    assert {name for name in FIELDS if getattr(preset, name) != getattr(full, name)} <= how_much
    assert (preset.ema_decay is None) == (full.ema_decay is None)


@pytest.mark.parametrize("names, words", [
    (("mnsit",), ("mnsit", "cifar10")), (("mnist", "better"), ("better", "improved")),
    (("mnist", "thesis", "xl"), ("xl", "smoke"))])
def test_unknown_names_are_refused_with_the_known_ones(names, words):
    with refuses(UnknownName, *words):
        presets.get(*names)


def test_presets_survive_json_also_when_the_class_gains_a_field_and_any_field_changes_the_hash():
    fields = presets.to_dict(ALL[0])
    assert fields.pop("horizontal_flips") is False and presets.from_dict(fields) == ALL[0]
    changed = [dataclasses.replace(ALL[0], **{field: "other"}) for field in FIELDS]
    assert len({presets.preset_hash(preset) for preset in ALL + changed}) == len(ALL + changed)
    for preset in ALL:
        again = presets.from_dict(presets.to_dict(preset))
        assert again == preset and presets.preset_hash(again) == presets.preset_hash(preset)


@pytest.mark.parametrize("dataset, variant, count, shape", [
    ("mnist", "thesis", 3_140_385, (1, 28, 28)), ("cifar10", "thesis", 87_983_363, (3, 32, 32)),
    ("wikiart", "thesis", 347_990_531, (3, 128, 128)), ("wikiart", "improved", None, (4, 16, 16))])
def test_a_unet_has_the_thesis_s_parameters_and_sees_pixels_or_latents(dataset, variant, count, shape):
    preset = presets.get(dataset, variant, "full")
    with torch.device("meta"):
        unet = build_unet(preset)
    assert count in (None, sum(p.numel() for p in unet.parameters())) and unet.encoder_hid_proj is None
    assert preset.unet_shape == (unet.config.in_channels, *[unet.config.sample_size] * 2) == shape
    assert unet.config.out_channels == shape[0]
