"""The core modules, and which subpackage may import which."""

import ast
import errno
import hashlib
import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from support import refuses

from t2i_helpers import hub, paths, presets, provenance
from t2i_helpers.errors import OutputError
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
    def answer(*_, **__):
        if timeouts:
            raise TimeoutError(timeouts.pop())

    timeouts = ["too slow"]
    monkeypatch.setattr(hub, "OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", answer)
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


def write(path, text="new"):
    with paths.atomic_write(path) as temporary:
        temporary.write_text(text)


def test_atomic_write_makes_folders_and_replaces_the_file_only_with_a_whole_one(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    write(path, "old")
    with pytest.raises(ZeroDivisionError), paths.atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    write(path, "new")
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


@pytest.mark.parametrize("action", [write, paths.check_writable])
@pytest.mark.parametrize("where", ["folder", "file/x.png", "file/deeper/x.png", "/proc/nowhere/x.png"])
def test_paths_that_cannot_be_written_are_refused(tmp_path, where, action):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with refuses(OutputError, where, "choose another"):
        action(tmp_path / where)
    for writable in ("file", "new/y.png"):                                  # checking them writes nothing
        paths.check_writable(tmp_path / writable)
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_the_mirror_is_used_only_where_its_folder_exists(tmp_path, monkeypatch):
    assert paths.mirror("datasets", "a/b") is None
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path))
    assert paths.mirror("datasets", "a/b") is None
    (tmp_path / "datasets" / "a" / "b").mkdir(parents=True)
    assert paths.mirror("datasets", "a/b") == tmp_path / "datasets" / "a" / "b"


def test_a_record_walks_back_to_preset_code_and_libraries(tmp_path):
    preset = presets.get("mnist", "thesis", "full")
    record = provenance.record("cpu", **provenance.preset_record(preset), seeds=[1, 2])
    path = provenance.write_json(tmp_path / "x.json", record)
    assert json.loads(path.read_text()) == record
    assert presets.from_dict(record["preset"]) == preset and record["preset_hash"] == presets.preset_hash(preset)
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] and record["seeds"] == [1, 2]
    assert "CPU" in record["device"] and "MPS" in provenance.device_name("mps")


def test_git_state_tells_commit_and_changed_code(tmp_path, monkeypatch):
    def git(*arguments):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        return subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)

    unknown = {"git_commit": None, "git_dirty": None}
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.git_state() == unknown
    git("init")
    write(tmp_path / "pyproject.toml", "1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = provenance.git_state()
    assert clean == {"git_commit": git("rev-parse", "HEAD").stdout.strip(), "git_dirty": False}
    write(tmp_path / "pyproject.toml", "2")
    assert provenance.git_state() == clean | {"git_dirty": True}
    (tmp_path / "inside ü").mkdir()                                         # a repository around ours is not ours
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "inside ü")
    assert provenance.git_state() == unknown
