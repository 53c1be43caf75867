"""Training with several processes, as accelerate and torchrun start them."""

import dataclasses
import os
import subprocess
import sys

import pytest

from t2i_helpers import presets
from t2i_helpers.training import Run, train

TWO_PROCESSES = """
import dataclasses
import sys
from pathlib import Path
from t2i_helpers import presets
from t2i_helpers import paths
from t2i_helpers.training import train
paths.DATA = Path(sys.argv[1]) / "data"
preset = dataclasses.replace(presets.get("mnist", "improved", "smoke"), bf16=False)    # half a batch rounds otherwise
train(preset, Path(sys.argv[1]) / "run", max_steps=2)
"""


def test_two_processes_compute_what_one_does(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, script, tmp_path], check=True, env=environment, capture_output=True)
    both = Run(tmp_path / "run")
    preset = dataclasses.replace(presets.get("mnist", "improved", "smoke"), bf16=False)
    alone = train(preset, tmp_path / "alone", max_steps=2)
    assert both.config()["processes"] == 2 and len(both.config()["parts"]) == 1
    assert [row["loss"] for row in both.metrics()] == pytest.approx([row["loss"] for row in alone.metrics()], rel=1e-4)
