"""Trainings as jobs of a cluster, and losses that a tracker gets."""

import os
import pickle
import subprocess
import sys
import threading
import time

import pytest
from support import refuses, tiny_preset

from t2i_helpers.errors import BadValue, UnknownName
from t2i_helpers.paths import ROOT
from t2i_helpers.training import Run, train
from t2i_helpers.training.slurm import Job, submit


def test_a_training_runs_as_a_job(tmp_path):
    pytest.importorskip("submitit")
    out, jobs = tmp_path / "run", tmp_path / "run-jobs"
    command = ["train", "mnist", "--size", "smoke", "--max-steps", "2", "--out", str(out),
               "--slurm", "cluster=local,cpus=1,time=5"]
    printed = subprocess.run([sys.executable, "-m", "t2i_helpers.cli", *command], cwd=ROOT, capture_output=True,
                             text=True, check=True, env=os.environ | {"T2I_HOME": str(tmp_path / "home")}).stdout
    assert printed.startswith("job ") and str(jobs) in printed
    deadline = time.monotonic() + 240
    while not (out / "state.safetensors").exists() or Run(out).saved_step() < 2:
        assert time.monotonic() < deadline, "\n".join(file.read_text() for file in jobs.glob("*_log.err"))
        time.sleep(0.5)
    assert [row["step"] for row in Run(out).metrics()] == [1, 2]


def test_a_preempted_job_ends_in_order_and_is_queued_again(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    program = ("import pathlib, signal, sys, time\n"
               "def save(*_): pathlib.Path('saved').touch(); sys.exit(1)\n"
               "signal.signal(signal.SIGTERM, save)\n"
               "pathlib.Path('started').touch()\n"
               "time.sleep(0 if pathlib.Path('saved').exists() else 60)\n")
    job, queued = Job([sys.executable, "-c", program]), []

    def preempt():
        while not (tmp_path / "started").exists():
            time.sleep(0.05)
        queued.append(job.checkpoint())

    preempting = threading.Thread(target=preempt)
    preempting.start()
    with pytest.raises(RuntimeError, match="ended with"):
        job()
    preempting.join()
    assert (tmp_path / "saved").exists()
    pickle.loads(pickle.dumps(queued[0].function))()                # resumes, and ends without an error


@pytest.mark.parametrize("settings, error, text", [
    ("cluster=local,gpu=4", UnknownName, "gpus"), ("cluster=local,gpus=four", BadValue, "whole number"),
    ("partition=gpu", BadValue, "cluster=local"),
])
def test_settings_that_do_not_fit_are_named(tmp_path, settings, error, text):
    pytest.importorskip("submitit")
    with refuses(error, text):
        submit(["train", "mnist"], settings, tmp_path)


def test_a_tracker_gets_the_losses(tmp_path, few_digits):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(tiny_preset(), tmp_path / "run", max_steps=3, track="tensorboard")
    events = EventAccumulator(str(run.folder / "t2i"))
    events.Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("loss")] == [
        (row["step"], pytest.approx(row["loss"], abs=1e-6)) for row in run.metrics()]
    with refuses(BadValue, "tensorboard"):
        train(tiny_preset(), tmp_path / "other", max_steps=1, track="nonsense")
