"""`full` means full: a tiny stand-in for it runs from training to the report and uses no shipped checkpoint."""

import os
import shutil
import subprocess
import sys

import pytest

from t2i_helpers import presets
from t2i_helpers.paths import CHECKPOINTS, ROOT, WEIGHTS
from t2i_helpers.provenance import file_hash

PARTS = ("t2i_helpers", "scripts", "notebooks", "report", "figures", "checkpoints", "pyproject.toml")
TINY = {                                # appended to modules of the copy: less of everything, by the same code
    "presets.py": """
_get = get


def get(dataset, variant="improved", size="demo"):
    if size != "full":
        return _get(dataset, variant, size)
    few = dict(size="full", max_steps=2, sample_steps=2)
    if dataset == "own":
        return dataclasses.replace(_get(dataset, variant, size), text_encoder="minilm", **few)
    preset = dataclasses.replace(_get(dataset, variant, "smoke"), **few)
    if dataset not in DATASETS:
        return preset
    return dataclasses.replace(preset, block_channels=(32, 32), down_blocks=(DOWN, CROSS), layers_per_block=1,
                               cross_attention_dim=16, attention_head_dim=2)
""",
    "reporting/checkpoints.py": """
SAMPLES = dict.fromkeys(SAMPLES, 20)
PAIR_SAMPLES, RECOGNITION_SAMPLES = 2, 20
LATENT_SAMPLES = 20
""",
    "training/ablation.py": """
KEPT = ("text_encoder", "network", "prediction", "scheduler")
TRAININGS = {name: (dataset, variant, {field: changes[field] for field in KEPT if field in changes}, 2)
             for name, (dataset, variant, changes, _) in TRAININGS.items()}
""",
    "reporting/study.py": """
import dataclasses

_frechet_against_n, _real_features = frechet_against_n, real_features


def frechet_against_n(size):
    return _frechet_against_n((6, 100, 1000), size=size)                # what the report's text names


def real_features(dataset, samples, size):
    real = _real_features(dataset, 250, size)
    return dataclasses.replace(real, features=real.features.repeat(5, 1))


_rows_of = rows_of


def rows_of(part, size="demo", keep=lambda row: True):
    if size == "full":
        return _rows_of(part, size, keep)
    import json

    return [json.loads(line) for line in open(study_dir("demo") / f"{part}.jsonl")]    # what an exercise asks about
""",
    "evaluation/fashion.py": """
STEPS, TUNING_STEPS, SAMPLES = {"full": 2}, 2, 240
""",
    "evaluation/transfer.py": """
PHOTOGRAPH_STEPS, EPOCHS, SAMPLES = {"full": 2}, {"full": (1,)}, 20
""",
    "evaluation/styles.py": """
STEPS, EACH = {"full": 2}, 2
""",
    "evaluation/study.py": """
import dataclasses

_evaluate, _draw_samples = evaluate, draw_samples
PARTS = {part: [dataclasses.replace(cell, n=20) for cell in cells] for part, cells in PARTS.items()}


def evaluate(pipe, scales, n, *, steps, **options):
    return _evaluate(pipe, scales, n, steps=min(steps, 2), **options)


def draw_samples(pipe, w, n, *, steps, **options):
    return _draw_samples(pipe, w, n, steps=min(steps, 2), **options)
""",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the repository whose `full` presets are two steps on eight images at a time, and whose runs and figures
    are made by `t2i figures --size full` and `t2i report`."""
    root = tmp_path_factory.mktemp("repository")
    ignored = shutil.ignore_patterns("runs", "__pycache__", ".ipynb_checkpoints")
    for part in PARTS:
        source = ROOT / part
        shutil.copytree(source, root / part, ignore=ignored) if source.is_dir() else shutil.copy(source, root / part)
    for name, code in TINY.items():
        with (root / "t2i_helpers" / name).open("a", encoding="utf-8") as file:
            file.write(code)
    return root


def t2i(root, *arguments):
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "T2I_SIZE": "full"}
    return subprocess.run([sys.executable, "-c", "from t2i_helpers.cli import main; main()", *arguments], cwd=root,
                          env=environment, capture_output=True, text=True)


@pytest.mark.skipif("T2I_TEST_FULL" not in os.environ, reason="takes about half an hour: run make test-full")
def test_full_uses_only_the_users_own_runs(repository):
    done = t2i(repository, "figures", "--size", "full")
    assert done.returncode == 0, done.stderr[-500:]
    done = t2i(repository, "report")
    assert done.returncode == 0, done.stderr[-500:]
    shipped = {file_hash(CHECKPOINTS / f"{dataset}-{variant}" / WEIGHTS) for dataset in presets.DATASETS
               for variant in ("thesis", "improved", "weak") if (CHECKPOINTS / f"{dataset}-{variant}").exists()}
    sidecars = [*(repository / "figures").glob("*.json"), *(repository / "report" / "generated").glob("*.json")]
    redrawn = {path.name: path.read_text() for path in sidecars if '"size": "full"' in path.read_text()}
    assert len(redrawn) > 50
    assert not {name for name, text in redrawn.items() for weights in shipped if weights in text}
