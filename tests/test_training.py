"""The training loop: its equations, what it feeds the network, and a run that can be stopped anywhere."""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from unittest import mock

import diffusers
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support import TINY_UNET, Killed, at_step, refuses, tiny_preset

from t2i_helpers import paths, presets
from t2i_helpers.data import load_images, to_uint8, to_unit
from t2i_helpers.errors import BadCheckpoint, BadValue, Diverged, OutputError, UnknownName
from t2i_helpers.models import caption_table, load_pipeline
from t2i_helpers.provenance import device_name
from t2i_helpers.training import Run, loaders, loop, train

pytestmark = pytest.mark.usefixtures("few_digits")       # 36 images in batches of 8: an epoch is 5 steps, the last of 4
STEPS = 7
PRESETS = {
    "thesis": tiny_preset("thesis", min_snr_gamma=5.0),
    "improved": tiny_preset("improved", ema_decay=0.3, gradient_clip=0.5, warmup_steps=3, caption_dropout=0.5, epochs=2,
                             min_snr_gamma=5.0, learning_rate_decay="cosine", horizontal_flips=True),
}
each_variant = pytest.mark.parametrize("variant", PRESETS)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(text, path):
    path.write_text(text, errors="surrogateescape")


def losses_of(run):
    return [row["loss"] for row in run.metrics()]


def weights(run, subfolder=""):
    return load_file(run.folder / subfolder / "unet" / "diffusion_pytorch_model.safetensors")


def assert_same(run, expected):
    """Bitwise: the state (weights, AdamW, average), the pipeline's weights, and the losses."""
    for read in (lambda run: load_file(run.state_file), weights):
        ours, theirs = read(run), read(expected)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    with safe_open(run.state_file, "pt") as file:
        assert file.metadata()["step"] == str(STEPS)
    assert [row | {"seconds": 0} for row in run.metrics()] == [row | {"seconds": 0} for row in expected.metrics()]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """variant -> the run that was never stopped, and drew grids on the way."""
    return functools.cache(lambda variant: train(
        PRESETS[variant], tmp_path_factory.mktemp(variant), max_steps=STEPS, sample_every=3))


@pytest.fixture
def fed(monkeypatch):
    """What `training_loss` is given at every step; ``fed.only_watch()`` makes the steps themselves free of cost."""
    real = loop.training_loss
    seen = SimpleNamespace(steps=[], unet=None, loss=real)

    def loss(unet, scheduler, x_0, c, noise, timesteps, gamma):
        if not seen.steps:
            seen.unet = {name: value.clone() for name, value in unet.state_dict().items()}
        seen.steps.append((x_0.clone(), c.clone(), noise.clone(), timesteps.clone()))
        return seen.loss(unet, scheduler, x_0, c, noise, timesteps, gamma)

    seen.only_watch = lambda: setattr(seen, "loss", lambda unet, *rest: 0 * next(unet.parameters()).sum())
    monkeypatch.setattr(loop, "training_loss", loss)
    return seen


@each_variant
def test_training_is_the_plain_loop(variant, fed, tmp_path):
    """AdamW with warm-up and clipping, and the average of the weights, written out on the same batches."""
    preset = PRESETS[variant]
    run = train(preset, tmp_path / "run", max_steps=STEPS, sample_every=3)
    unet = load_pipeline(run.folder, device="cpu").unet.train()
    unet.load_state_dict(fed.unet)
    abar = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    optimizer = torch.optim.AdamW(unet.parameters(), lr=preset.learning_rate, weight_decay=0.01)
    average, losses = [p.detach().clone() for p in unet.parameters()], []
    for step, (x_0, c, noise, t) in enumerate(fed.steps):
        fall = (1 + math.cos(math.pi * step / 10)) / 2 if variant == "improved" else 1       # 2 epochs of 5 steps
        optimizer.param_groups[0]["lr"] = preset.learning_rate * fall * min(1, (step + 1) / (preset.warmup_steps or 1))
        signal, spread = (share.sqrt().view(-1, 1, 1, 1) for share in (abar[t], 1 - abar[t]))
        target = noise if variant == "thesis" else signal * noise - spread * x_0
        snr = (signal / spread) ** 2                # min(SNR, 5) times the squared error of the implied x^_0
        weight = snr.clamp(max=5) / (snr if variant == "thesis" else snr + 1)
        loss = (weight * (unet(signal * x_0 + spread * noise, t, c).sample - target) ** 2).mean()
        loss.backward()
        if preset.gradient_clip:
            torch.nn.utils.clip_grad_norm_(unet.parameters(), preset.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        decay = min(preset.ema_decay or 0, (1 + step) / (10 + step)) if step else 0
        average = [decay * old + (1 - decay) * new.detach() for old, new in zip(average, unet.parameters())]
        losses.append(loss.item())
    assert losses_of(run) == pytest.approx(losses, rel=1e-4)
    # What the networks do, not their weights: a bias before a normalisation has no gradient but rounding, and AdamW
    # makes full steps of that.
    trained = load_pipeline(run.folder, device="cpu").unet
    with torch.no_grad():
        for parameter, value in zip(unet.parameters(), average):
            parameter.copy_(value)
        torch.testing.assert_close(trained(x_0, t, c).sample, unet(x_0, t, c).sample, atol=1e-4, rtol=1e-4)
        fresh = load_pipeline(run.folder, device="cpu").unet
        fresh.load_state_dict(fed.unet)
        assert (fresh(x_0, t, c).sample - unet(x_0, t, c).sample).abs().max() > 0.01       # it did learn something


@each_variant
def test_an_epoch_shows_every_image_once_or_its_mirror_image_with_its_own_caption_or_none(variant, fed, tmp_path):
    preset = PRESETS[variant]
    fed.only_watch()
    train(preset, tmp_path / "run", max_steps=10)
    dataset = load_images(preset)
    table = caption_table(preset.text_encoder, dataset.captions, preset.max_length)
    known = {image.numpy().tobytes(): (place, mirrored) for mirrored in (True, False)
             for place, image in enumerate(dataset.images.flip(-1) if mirrored else dataset.images)}
    epochs, flips = [], []
    for steps in (fed.steps[:5], fed.steps[5:]):
        images = to_uint8(to_unit(torch.cat([x_0 for x_0, *_ in steps]), preset.pixel_range))
        places, mirrored = zip(*(known[image.numpy().tobytes()] for image in images))
        assert sorted(places) == list(range(36))
        c = torch.cat([c for _, c, *_ in steps])
        rows = (c[:, None] == table).all(-1).all(-1).long().argmax(1)                # of the table; 10 is no caption
        kept = rows == dataset.labels[[*places]]
        assert (kept | (rows == 10)).all() and (kept.all() if preset.caption_dropout == 0 else 0 < kept.sum() < 36)
        epochs.append(places)
        flips += mirrored
    assert epochs[0] != epochs[1], "the order is the same in both epochs"
    assert [len(x_0) for x_0, *_ in fed.steps] == [8, 8, 8, 8, 4] * 2
    assert 18 < sum(flips) < 54 if preset.horizontal_flips else not any(flips)


def test_noise_timesteps_and_dropout_have_their_distributions(fed, tmp_path):
    fed.only_watch()
    train(tiny_preset(caption_dropout=0.1, batch_size=36, epochs=60), tmp_path / "run")
    _, c, noise, t = (torch.cat(part) for part in zip(*fed.steps))
    assert len(t) == 36 * 60
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert t.min() >= 0 and t.max() <= 999 and abs(t.float().mean() - 499.5) < 25 and abs(t.float().std() - 288.7) < 15
    empty = caption_table("minilm", load_images(PRESETS["thesis"]).captions, 8)[-1]
    assert abs((c == empty).all(-1).all(-1).float().mean() - 0.1) < 0.02


@each_variant
@pytest.mark.parametrize("stop", [3, 5])
def test_a_resumed_run_is_the_run_that_never_stopped_and_a_finished_one_stays_as_it_is(
        variant, stop, straight, tmp_path):
    torch.manual_seed(stop)
    train(PRESETS[variant], tmp_path / "run", max_steps=stop)
    run = train(PRESETS[variant], tmp_path / "run", max_steps=STEPS)
    assert_same(run, straight(variant))
    before = files(run.folder)
    train(PRESETS[variant], run.folder, max_steps=STEPS)
    assert files(run.folder) == before


def test_a_loaded_optimizer_state_has_the_strides_of_its_parameters(tmp_path):
    """A fused AdamW on a GPU refuses to step otherwise: there the weights are channels_last."""
    def trainer():
        unet = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        return SimpleNamespace(bare_unet=unet, optimizer=torch.optim.AdamW(unet.parameters()), averages={}, step=1,
                               seconds=0.0, images=SimpleNamespace(stream=None))

    first, second = trainer(), trainer()
    first.bare_unet(torch.randn(2, 3, 8, 8)).sum().backward()
    first.optimizer.step()
    Run(tmp_path).save_state(first)
    Run(tmp_path).load_state(second)
    for each, parameter in zip(first.bare_unet.parameters(), second.bare_unet.parameters()):
        for slot in ("exp_avg", "exp_avg_sq"):
            loaded = second.optimizer.state[parameter][slot]
            assert torch.equal(loaded, first.optimizer.state[each][slot]) and loaded.stride() == parameter.stride()


@each_variant
def test_a_killed_run_resumes_from_its_last_state_also_where_it_writes_its_last_checkpoint(variant, straight, tmp_path):
    with at_step(5), pytest.raises(Killed):
        train(PRESETS[variant], tmp_path / "run", max_steps=STEPS, state_every=3)
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert len(metrics.read_text().splitlines()) == 3
    with metrics.open("a") as file:                     # steps after the state, and a line cut in two
        file.write('{"step": 4, "epoch": 1, "loss": 9.0, "seconds": 1.0}\n{"step": 5, "epo')
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Run, "save_pipeline", mock.Mock(side_effect=Killed))
        train(PRESETS[variant], tmp_path / "run", max_steps=STEPS)
    assert_same(train(PRESETS[variant], tmp_path / "run", max_steps=STEPS), straight(variant))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_ctrl_c_leaves_a_checkpoint_that_draws_and_resumes(number, straight, tmp_path):
    handlers = [*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))]
    run = Run(tmp_path / "run")
    with at_step(2, number), pytest.raises(KeyboardInterrupt, match="after 3 steps"):
        train(PRESETS["improved"], run.folder, max_steps=STEPS)
    assert [row["step"] for row in run.metrics()] == [1, 2, 3], "the step in hand was not finished"
    assert load_pipeline(run.folder)(["A handwritten digit 5"], steps=1).images.isfinite().all()
    assert [*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))] == handlers
    with at_step(3, signal.SIGINT, signal.SIGINT), pytest.raises(KeyboardInterrupt):        # the second one at once
        train(PRESETS["improved"], run.folder, max_steps=STEPS)
    assert_same(train(PRESETS["improved"], run.folder, max_steps=STEPS), straight("improved"))


def test_several_processes_ask_each_other_every_ten_steps_and_one_never_waits_for_the_gpu():
    triggers, stop = [], threading.Event()
    several = SimpleNamespace(num_processes=2, check_trigger=lambda: bool(triggers),
                              set_trigger=lambda: triggers.append(step))
    one = SimpleNamespace(num_processes=1)
    for step in range(25):
        if step == 13:
            stop.set()
        stopped = [loop._Trainer.should_stop(SimpleNamespace(accelerator=each, step=step), stop)
                   for each in (several, one)]
        assert stopped == [step == 20, step >= 13]
    assert triggers == [20]


TWO_PROCESSES = """
import sys
from pathlib import Path
from accelerate import notebook_launcher
from support import TINY_UNET
from t2i_helpers import cli, paths, presets
paths.DATA = Path(sys.argv[3])                                      # with the digits as this file's tests have cut them
presets.SMOKE |= TINY_UNET | {"bf16": False}                        # half a batch rounds otherwise
arguments = "train mnist --size smoke --max-steps 2 --accumulate 3 --out".split() + [sys.argv[1] + "/run"]
if sys.argv[2] == "notebook":
    notebook_launcher(cli.main, (arguments,), num_processes=2)
else:
    cli.main(arguments)
"""
TORCHRUN = "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"


@pytest.mark.parametrize("launcher, options", [("torchrun", TORCHRUN), ("notebook", ())])
def test_two_processes_compute_what_one_does_and_one_goes_on(launcher, options, straight, tmp_path):
    """The two also accumulate the gradients of their halves: each four images in parts of two."""
    straight("improved")                                        # which leaves digits and captions in the data folder
    (tmp_path / "train.py").write_text(TWO_PROCESSES)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *options, tmp_path / "train.py", tmp_path, launcher, paths.DATA]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    both = Run(tmp_path / "run")
    assert both.config()["processes"] == 2 and len(both.config()["parts"]) == 1 and both.saved_step() == 2
    preset = dataclasses.replace(presets.get("mnist", "improved", "smoke"), **TINY_UNET, bf16=False)
    alone = train(preset, tmp_path / "alone", max_steps=4)
    train(preset, both.folder, max_steps=4)
    assert [part["processes"] for part in both.config()["parts"]] == [2, 1]
    assert losses_of(both) == pytest.approx(losses_of(alone), rel=1e-4)


@pytest.mark.parametrize("options", [dict(accumulate=3), dict(accumulate=8, gradient_checkpointing=True)])
def test_less_memory_gives_the_same_losses(options, straight, tmp_path):
    run = train(PRESETS["improved"], tmp_path / "run", max_steps=STEPS, **options)
    assert losses_of(run) == pytest.approx(losses_of(straight("improved")), rel=1e-4)


@contextlib.contextmanager
def faulty(fault):
    """Within the block, `fault(number, x_0, loss)` replaces the loss of the call with that number, from 1."""
    real, calls = loop.training_loss, itertools.count(1)

    def loss(unet, scheduler, x_0, *rest):
        return fault(next(calls), x_0, real(unet, scheduler, x_0, *rest))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "training_loss", loss)
        yield


@pytest.mark.parametrize("fault, words", [
    (lambda loss: loss * math.nan, ["nan at step 6", "--on-nan skip"]),
    (lambda loss: loss + (loss - loss.detach()) * 1e38 * 1e38, ["NaN"]),                    # its gradient is infinite
], ids=["loss", "gradient"])
def test_an_infinite_loss_or_gradient_stops_with_the_last_good_state_or_is_skipped(
        fault, words, straight, tmp_path, capsys):
    def at_sixth(number, x_0, loss):
        return fault(loss) if number == 6 else loss

    rows = [str(loaders.ResidentImages(PRESETS["improved"], "cpu").batch(5)[-1].tolist())] * ("nan at step 6" in words)
    with faulty(at_sixth), refuses(Diverged, *words, *rows, "the state of step 3"):
        train(PRESETS["improved"], tmp_path / "stopped", max_steps=STEPS, state_every=3)
    assert_same(train(PRESETS["improved"], tmp_path / "stopped", max_steps=STEPS), straight("improved"))
    with faulty(at_sixth):
        run = train(PRESETS["thesis"], tmp_path / "run", max_steps=STEPS, on_nan="skip")
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5, 7]
    assert "skipped: the loss is nan at step 6" in capsys.readouterr().out
    assert all(value.isfinite().all() for value in load_file(run.state_file).values())


@pytest.mark.parametrize("fits, advice", [(2, "of 2 does: add --accumulate 4"), (0, "not one image fits")])
def test_too_little_memory_is_answered_by_what_fits(fits, advice, tmp_path):
    def fault(number, x_0, loss):
        if len(x_0) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss

    with faulty(fault), refuses(BadValue, advice):
        train(PRESETS["improved"], tmp_path / "run", max_steps=1)
    if fits:
        with faulty(fault):
            train(PRESETS["improved"], tmp_path / "run", max_steps=1, accumulate=4)


def test_a_run_says_what_was_trained_on_what_and_draws_grids_on_the_way(straight):
    preset, run = PRESETS["improved"], straight("improved")
    config, dataset = run.config(), load_images(preset)
    assert presets.from_dict(config["preset"]) == preset and config["preset_hash"] == presets.preset_hash(preset)
    assert config["data_source"] == dataset.source and config["data_fingerprint"] == dataset.fingerprint
    assert (config["training_images"], config["text_encoder"], config["seed"]) == (36, "minilm", 422)
    assert config["precision"] == "float32" and "CPU" in config["device"] and "MPS" in device_name("mps")
    assert config["versions"]["torch"] == torch.__version__.split("+")[0] and "git_commit" in config
    assert [part["from_step"] for part in config["parts"]] == [0]
    pictures = sorted((run.folder / "samples").iterdir())
    assert [path.name for path in pictures] == ["step-000003.png", "step-000006.png"]
    assert Image.open(pictures[0]).size == (8 * 29 + 1, 2 * 29 + 1)          # ten digits, eight a row


def test_several_averages_of_one_training_are_kept_and_resume(tmp_path):
    """The raw weights, a constant decay by hand, and the run's own average, in three steps with a stop after two."""
    averages = {"raw": {"decay": 0.0}, "slow-0.9": {"decay": 0.9, "min_decay": 0.9}}
    seen = []
    for steps in (1, 2, 3):
        run = train(PRESETS["improved"], tmp_path / "run", max_steps=steps, averages=averages)
        seen.append({name.removeprefix("unet."): value for name, value in load_file(run.state_file).items()
                     if name.startswith("unet.")})
    kept = {name: weights(run, name) for name in averages}
    for name, last in seen[-1].items():
        torch.testing.assert_close(kept["raw"][name], last)
        slow = 0.9 * (0.9 * seen[0][name] + 0.1 * seen[1][name]) + 0.1 * last
        torch.testing.assert_close(kept["slow-0.9"][name], slow)
    assert any(not torch.equal(weights(run)[name], kept["raw"][name]) for name in kept["raw"])
    assert load_pipeline(run.folder / "slow-0.9")([""], steps=1).images.isfinite().all()


def test_checkpoints_are_kept_at_the_presets_epochs_without_pickles_and_leftovers(straight, tmp_path):
    train(tiny_preset(epochs=1, checkpoint_epochs=1, batch_size=36), tmp_path / "run")
    longer = tiny_preset(epochs=3, checkpoint_epochs=1, batch_size=36, sample_steps=5, scheduler="ddim")
    run = train(longer, tmp_path / "run", state_every=2)
    kept = [weights(run, f"epoch-{epoch:03d}")["conv_in.weight"] for epoch in (1, 2, 3)]
    assert len(run.metrics()) == 3
    assert not torch.equal(kept[0], kept[1]) and torch.equal(kept[2], weights(run)["conv_in.weight"])
    assert load_pipeline(run.folder / "epoch-001")([""], steps=1).images.shape == (1, 1, 28, 28)
    for folder in (run.folder, straight("improved").folder):
        assert {path.suffix for path in files(folder)} <= {".safetensors", ".json", ".jsonl", ".png"}
        assert not [path for path in files(folder) if path.name.startswith(".")]


@pytest.mark.parametrize("change, word", [
    (dict(learning_rate=2e-3), "learning_rate"), (dict(seed=1), "seed"), (dict(variant="thesis"), "variant"),
    (dict(block_channels=(32, 64)), "block_channels"), (dict(text_encoder="bert"), "text_encoder"),
])
def test_a_run_of_another_preset_or_on_other_data_is_refused_and_left_alone(change, word, straight, monkeypatch):
    folder = straight("improved").folder
    before = files(folder)
    table = caption_table("minilm", load_images(PRESETS["improved"]).captions, 8)
    monkeypatch.setattr(loop, "caption_table", lambda *key: table)
    with refuses(BadCheckpoint, str(folder), word, "choose another --out"):
        train(dataclasses.replace(PRESETS["improved"], **change), folder, max_steps=STEPS + 1)
    other = dataclasses.replace(load_images(PRESETS["improved"]), fingerprint="other")
    monkeypatch.setattr(loaders, "load_images", lambda *_: other)
    with refuses(BadCheckpoint, "data_fingerprint", "'other'"):
        train(PRESETS["improved"], folder, max_steps=STEPS + 1)
    assert files(folder) == before


@pytest.mark.parametrize("where, options, error, words", [
    *((where, {}, OutputError, [where, "choose another"]) for where in ("file", "file/run", "folder", "/proc/nowhere")),
    ("run", dict(max_steps=0), BadValue, ["max_steps = 0", "at least 1"]),
    *(("run", dict(accumulate=n), BadValue, [f"accumulate = {n}", "1 to 8"]) for n in (0, 9)),
    ("run", dict(on_nan="wait"), UnknownName, ["'wait'", "skip"]),
])
def test_places_and_options_that_cannot_be_used_are_refused_and_nothing_is_written(
        where, options, error, words, tmp_path):
    (tmp_path / "folder").mkdir()
    for file in ("file", "folder/notes.txt"):
        (tmp_path / file).write_text("mine")
    before = files(tmp_path)
    with refuses(error, *words):
        train(PRESETS["thesis"], tmp_path / where, **dict(max_steps=1) | options)
    assert files(tmp_path) == before


@pytest.mark.parametrize("file, damage", [
    *(("metrics.jsonl", functools.partial(write, text)) for text in (
        '{"step": 1, "loss": 0.5}\n{"step"; 2}\n', '{"loss": 0.5}\n', '{"step": "\udcff"}\n')),
    *(("config.json", functools.partial(write, text)) for text in (
        "", '{"preset": ', "[]", '{"preset": {"seed": 422}}')),
    ("state.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-100])),
    ("state.safetensors", functools.partial(write, "")),
    ("state.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([1 ^ path.read_bytes()[-1]]))),
    ("state.safetensors", lambda path: save_file({"weights": torch.zeros(1)}, path)),
    ("state.safetensors", lambda path: save_file(                                           # of another network
        {"unet.conv_in.weight": torch.zeros(1)}, path, metadata={"step": "3", "seconds": "1"})),
])
def test_a_damaged_file_of_a_run_is_refused_and_left_alone(file, damage, straight, tmp_path):
    run = Run(shutil.copytree(straight("improved").folder, tmp_path / "run"))
    damage(run.folder / file)
    before = files(run.folder)
    remedy = "restore or delete it" if file == "metrics.jsonl" else "choose another --out"
    with refuses(BadCheckpoint, str(run.folder / ("" if file == "config.json" else file)), remedy):
        train(PRESETS["improved"], run.folder, max_steps=STEPS + 1)
    assert files(run.folder) == before
    if file == "metrics.jsonl":
        run.metrics_file.unlink()
        train(PRESETS["improved"], run.folder, max_steps=STEPS + 1)
        assert [row["step"] for row in run.metrics()] == [STEPS + 1]
