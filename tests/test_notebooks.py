"""Notebooks: pairs that agree, pictures inside, cells that teach and equal the package, explorers, exercises."""

import ast
import copy
import dataclasses
import inspect
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from PIL import Image
from support import FakeUNet, embeddings, guided, small_preset
from torch.testing import assert_close
from torchvision.utils import save_image

from t2i_helpers import presets
from t2i_helpers.data import DRAWINGS, from_uint8, load_images, painting_store, stroke_drawing
from t2i_helpers.data.wikiart import FILL, FIRST, reservoir_shuffle
from t2i_helpers.diffusion import make_guider, make_scheduler, sample
from t2i_helpers.diffusion.noise import NoisyBatch
from t2i_helpers.evaluation import frechet_distance, styles, wilson_interval
from t2i_helpers.evaluation.latent import decoded_similarity
from t2i_helpers.models import build_unet, dit, load_image_text, load_pipeline, load_text_encoder
from t2i_helpers.paths import CHECKPOINTS, ROOT
from t2i_helpers.randomness import generator
from t2i_helpers.reporting import explorers
from t2i_helpers.reporting.exercises import EXERCISES, check
from t2i_helpers.training import training_loss

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERS = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_agrees_with_its_pair_is_small_and_carries_its_pictures_and_exercises(path):
    notebook, pair = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    assert [(each.cell_type, each.source) for each in notebook.cells] == [
        (each.cell_type, each.source) for each in pair.cells]
    outputs = [(output, cell) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output, _ in outputs if output.output_type == "error"]
    pictures = [each for each in outputs if {"image/png", "image/jpeg", "image/gif"} & each[0].get("data", {}).keys()]
    assert len(pictures) >= 5
    for output, cell in pictures:
        assert "alt" in cell.metadata or any("alt" in each for each in output.metadata.values() if each), cell.source
    assert path.stat().st_size < 1.5e6
    asked = [number for number in EXERCISES if f'check("{number}", ' in path.with_suffix(".py").read_text()]
    assert asked == [number for number in EXERCISES if number.startswith(f"{int(path.stem[:2])}.")]


def code_cells(name):
    return [cell for cell in jupytext.read(ROOT / "notebooks" / f"{name}.py").cells if cell.cell_type == "code"]


def start_up():
    """The first code cell, which all notebooks share."""
    (source,) = {code_cells(path.stem)[0].source for path in NOTEBOOKS}
    return source


def test_on_colab_the_first_cell_installs_the_project_and_elsewhere_it_does_nothing(tmp_path):
    project, empty, fake = tmp_path / "project", tmp_path / "empty", tmp_path / "fake"
    for folder in (project / "t2i_helpers", project / "notebooks", empty, fake):
        folder.mkdir(parents=True)
    (project / "t2i_helpers" / "__init__.py").touch()
    (project / "notebooks" / "x").touch()
    (fake / "pip.py").write_text("import sys; open('pip.txt', 'w').write(' '.join(sys.argv[1:]))")
    git = ["git", "-C", project, "-c", "user.name=x", "-c", "user.email=x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    cell = start_up().replace("https://github.com/OWNER/REPO", project.as_uri())
    colab = ("import sys, types; colab = types.ModuleType('google.colab'); "
             "colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: None); "
             "sys.modules |= {'google': types.ModuleType('google'), 'google.colab': colab}\n")
    where = "\nimport t2i_helpers; print(os.getcwd(), t2i_helpers.__file__)"

    def run(code):
        return subprocess.run([sys.executable, "-c", code], cwd=empty, env=os.environ | {"PYTHONPATH": str(fake)},
                              check=True, capture_output=True, text=True).stdout.split()

    run(cell)
    assert not list(empty.iterdir())
    for _ in range(2):                                              # the second time in a new kernel, on the same clone
        assert run(colab + cell + "\n" + cell + where) == [
            str(empty / "t2i" / "notebooks"), str(empty / "t2i" / "t2i_helpers" / "__init__.py")]
        assert (empty / "pip.txt").read_text() == "install --quiet --editable t2i"


def test_one_line_sets_the_address_and_shows_badges_that_lead_to_the_notebooks(tmp_path):
    (line,) = [line for line in (ROOT / "notebooks" / "README.md").read_text().splitlines() if line.startswith("perl ")]
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("solutions"))
    shutil.copy(ROOT / "README.md", tmp_path)
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    for path in (tmp_path / "README.md", *tmp_path.glob("notebooks/0*")):
        text, name = path.read_text(), path.stem if path.parent != tmp_path else "01_mnist_cfg"
        assert "OWNER" not in text and "<!--" not in text
        assert f"(https://colab.research.google.com/github/name/project/blob/main/notebooks/{name}.ipynb)" in text
        assert f"(https://mybinder.org/v2/gh/name/project/main?labpath=notebooks/{name}.ipynb)" in text
        if path.suffix == ".ipynb":
            assert "https://github.com/name/project" in jupytext.read(path).cells[1].source


def lesson(cell):
    """What a teaching cell teaches, or None."""
    return next((tag.removeprefix("teaching-") for tag in cell.metadata.get("tags", ()) if "teaching-" in tag), None)


def teaching(name, which, *functions):
    """The functions of a notebook's teaching cell."""
    (cell,) = [cell for cell in code_cells(name) if lesson(cell) == which]
    namespace = {"torch": torch}
    exec(cell.source, namespace)
    return [namespace[function] for function in functions]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_that_teach_are_short_and_tested_and_others_define_hardly_anything(path):
    for cell in code_cells(path.stem):
        if which := lesson(cell):
            assert len(cell.source.splitlines()) <= 25, which
            assert f'"{path.stem}", "{which}"' in Path(__file__).read_text(), f"{which} has no test here"
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 5, node.name


def test_noising_step_by_step_is_noising_at_once_and_the_library_s():
    noise_step, add_noise = teaching("01_mnist_cfg", "noising", "noise_step", "add_noise")
    scheduler, t = make_scheduler(presets.get("mnist"), "ddpm"), 300
    x_0, noise = torch.randn(2, 4, 1, 8, 8, generator=NUMBERS)
    assert_close(add_noise(x_0, noise, scheduler.alphas_cumprod[t]), scheduler.add_noise(x_0, noise, torch.tensor(t)))
    x, rng, n = torch.full((100_000,), 0.8), torch.Generator().manual_seed(1), 100_000
    for beta in scheduler.betas[:t + 1]:
        x = noise_step(x, beta, rng)
    mean, deviation = 0.8 * scheduler.alphas_cumprod[t].sqrt(), (1 - scheduler.alphas_cumprod[t]).sqrt()
    assert abs(x.mean() - mean) < 4 * deviation / n**0.5 and abs(x.std() - deviation) < 4 * deviation / (2 * n)**0.5
    no_noise = noise_step(torch.ones(3, dtype=torch.float64), torch.tensor(0.0), rng)
    assert_close(no_noise, torch.ones_like(no_noise))


@pytest.mark.parametrize("variant", [*presets.VARIANTS, "flow"])
def test_a_training_step_is_the_packages(variant):
    """Of a loss of the same numbers, and at a rate of 1 all weights move by their gradients."""
    preset = dataclasses.replace(small_preset(), prediction="flow") if variant == "flow" else small_preset(variant)
    preset = dataclasses.replace(preset, caption_dropout=0.5)
    torch.manual_seed(0)
    ours = build_unet(preset, text_dim=16)
    theirs, table = copy.deepcopy(ours), torch.cat(embeddings(6))                           # the empty caption is last
    images, labels = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8, generator=NUMBERS), torch.arange(6)
    x_0 = from_uint8(images, preset.pixel_range)
    scheduler = make_scheduler(preset, "euler" if variant == "flow" else "ddpm")
    optimizers = [torch.optim.SGD(unet.parameters(), lr=1.0) for unet in (ours, theirs)]
    rng, again = (torch.Generator().manual_seed(7) for _ in range(2))
    if variant == "flow":
        (training_step,) = teaching("07_flow_and_transformers", "flow-training", "training_step")
        loss = training_step(ours, optimizers[0], x_0, labels, table, 0.5, rng, T=100)
        t, noise = torch.randint(100, (6,), generator=again), torch.randn(x_0.shape, generator=again)
    else:
        (training_step,) = teaching("01_mnist_cfg", "step", "training_step")
        loss = training_step(ours, optimizers[0], scheduler.alphas_cumprod, images, labels, table, preset, rng)
        noise, t = torch.randn(x_0.shape, generator=again), torch.randint(100, (6,), generator=again)
    rows = torch.where(torch.rand(6, generator=again) < 0.5, 6, labels)
    expected = training_loss(theirs, scheduler, x_0, table[rows], noise, t)
    expected.backward()
    optimizers[1].step()
    assert loss == pytest.approx(expected.item(), rel=1e-5) and 1 < (rows == 6).sum() < 6
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_of_weights_is_diffusers_s(decay):
    (average_step,) = teaching("01_mnist_cfg", "average", "average_step")
    network = torch.nn.Linear(3, 3)
    averaged, theirs = copy.deepcopy(network), EMAModel(network.parameters(), decay=decay)
    for n in range(5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(generator=NUMBERS)
        average_step(averaged, network, n, decay)
        theirs.step(network.parameters())
    for ours, their in zip(averaged.parameters(), theirs.shadow_params, strict=True):
        assert_close(ours, their)


@pytest.mark.parametrize("solver", ["ddim", "ddpm"])
@pytest.mark.parametrize("w", [0.0, 1.0, 3.0])
def test_the_sampling_loop_is_the_packages(unet, solver, w):
    (draw,) = teaching("01_mnist_cfg", "sampling", "draw")
    (c, null), scheduler = embeddings(3), make_scheduler(small_preset(), solver)
    theirs = sample(unet, scheduler, make_guider("cfg", w), c, null, seeds=range(3), steps=10).images
    ours = draw(unet, scheduler.alphas_cumprod, list(range(99, 0, -10)), c, null, w,
                [generator("sample", seed) for seed in range(3)], ddpm=solver == "ddpm")
    assert theirs.std() > 0.1
    assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_wilsons_interval_and_the_frechet_distance_are_the_packages():
    (wilson,) = teaching("02_cifar10_cfg", "wilson", "wilson")
    for successes, n in ((150, 1000), (1, 7), (59, 60)):
        assert wilson(successes, n) == pytest.approx(wilson_interval(successes, n))
    (frechet,) = teaching("02_cifar10_cfg", "frechet", "frechet")
    a, b = torch.randn(2, 60, 12, generator=NUMBERS, dtype=torch.float64)
    for count in (60, 8):                                           # 8: the covariance is singular
        assert frechet(a, 2 * b[:count] + 1) == pytest.approx(frechet_distance(a, 2 * b[:count] + 1), abs=1e-4)


@pytest.mark.parametrize("capacity", [1, 700, 1500, 9000])
def test_the_reservoir_shuffles_as_the_stream_does(capacity):
    (shuffled,) = teaching("03_wikiart_cfg", "reservoir", "shuffled")
    pixel = torch.zeros(3, 1, 1, dtype=torch.uint8)
    theirs = reservoir_shuffle(((pixel, 0, row) for row in range(4000)), capacity, 1, np.random.default_rng(5))
    ours = shuffled(range(4000), capacity, np.random.default_rng(5))
    assert [*ours] == [row for _, _, row in theirs]
    assert inspect.signature(shuffled).parameters["first"].default == FIRST
    assert inspect.signature(shuffled).parameters["fill"].default == FILL


def test_the_rules_of_guidance_are_the_packages():
    cfg, interval, rescale, cfg_zero, apg = teaching(
        "04_guidance_study", "rules", "cfg", "interval", "rescale", "cfg_zero", "apg")
    c, n, x_t = torch.randn(3, 3, 2, 8, 8, generator=NUMBERS, dtype=torch.float64)
    assert_close(cfg(c, n, 3), guided(make_guider("cfg", 3.0), c, n))
    inside, outside = ("sigma_min=0.5 sigma_max=2", "sigma_max=0.7")                         # `guided` is at sigma = 1
    assert_close(interval(c, n, 3, 1.0, 0.5, 2), guided(make_guider(f"interval {inside}", 3.0), c, n))
    with pytest.raises(Exception, match="interval"):
        guided(make_guider("interval sigma_max=0.3", 3.0), c, n)
    assert_close(interval(c, n, 3, 1.0, 0.0, 0.7), guided(make_guider(f"interval {outside}", 3.0), c, n))
    assert_close(rescale(c, n, 3, 0.7), guided(make_guider("rescale", 3.0, share=0.7), c, n))
    assert_close(cfg_zero(c, n, 3), guided(make_guider("cfg-zero", 3.0), c, n))
    noisy = NoisyBatch(x_t, torch.tensor(0.5, dtype=torch.float64), "v_prediction")
    theirs = guided(make_guider("apg", 3.0, momentum=0.0), c, n, predicts_v=True, x_t=x_t)
    assert_close(apg(noisy.x_0(c), noisy.x_0(n), 3), noisy.x_0(theirs))


def test_the_measures_of_style_are_the_packages():
    stroke_width, slant = teaching("05_fashion_and_transfer", "style", "stroke_width", "slant")
    digits = from_uint8(load_images(presets.get("mnist", size="smoke"), "test").images[:50], (0, 1))
    assert_close(stroke_width(digits), styles.stroke_width(digits))
    assert_close(slant(digits), styles.slant(digits), atol=1e-5, rtol=1e-4)


def test_the_four_parts_give_the_pipelines_image(paintings):
    (draw,) = teaching("06_latent_diffusion", "parts", "draw")
    preset, encoder = paintings.preset, load_text_encoder(paintings.preset.text_encoder)
    for name, w in (("ddim", 2.0), ("lms", 1.5)):
        noise = torch.randn(1, *preset.unet_shape, generator=generator("sample", 3))
        ours = draw("A landscape in the style of Rococo", encoder.tokenizer, encoder.model, paintings.unet,
                    paintings.make_scheduler(name), paintings.decode, w, 10, noise, preset.max_length)
        theirs = paintings(["A landscape in the style of Rococo"], w=w, steps=10, scheduler=name, seeds=[3]).images
        assert theirs.std() > 0.02
        assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_the_loss_of_a_text_is_the_packages_and_lowering_it_brings_the_image_nearer(paintings):
    (text_loss,) = teaching("06_latent_diffusion", "text-loss", "text_loss")
    model, texts = load_image_text(), ["A photo of a ship", "A photo of a frog"]
    loss = decoded_similarity(paintings, model, texts)
    z_0 = torch.randn(2, *paintings.preset.unet_shape, generator=NUMBERS).requires_grad_()
    ours = text_loss(z_0, paintings.decode, model.embed_images, model.embed_texts(texts))
    assert_close(ours, loss(z_0), atol=1e-5, rtol=1e-4)
    (gradient,) = torch.autograd.grad(ours.sum(), z_0)
    assert (loss(z_0 - 0.03 * gradient / gradient.std()) < ours).all()


def test_the_sampling_of_a_flow_is_the_packages():
    guided_sampling, cfg_sampling = teaching("07_flow_and_transformers", "flow-sampling", "guided_sampling",
                                             "cfg_sampling")
    preset, (c, null), unet = dataclasses.replace(small_preset(), prediction="flow"), embeddings(3), FakeUNet()
    x = torch.stack([torch.randn(1, 8, 8, generator=generator("sample", seed)) for seed in range(3)])
    for w, ours in ((1.0, guided_sampling(unet, c, x, 5, T=100)), (3.0, cfg_sampling(unet, c, null, 3.0, x, 5, T=100))):
        theirs = sample(unet, make_scheduler(preset, "euler"), make_guider("cfg", w), c, null, seeds=range(3), steps=5,
                        clip=None)
        assert_close(ours, theirs.images, atol=1e-5, rtol=0)


def test_patches_and_the_block_of_the_transformer_are_the_packages():
    patchify, unpatchify = teaching("07_flow_and_transformers", "patches", "patchify", "unpatchify")
    x = torch.randn(2, 3, 8, 8, generator=NUMBERS)
    assert torch.equal(patchify(x, 2)[:, 5], x[:, :, 2:4, 2:4].permute(0, 2, 3, 1).flatten(1))      # row 1, column 1
    assert torch.equal(unpatchify(patchify(x, 2), 2, 8), x) and torch.equal(dit._unpatchify(patchify(x, 2), 4, 2), x)
    (adaln_zero,) = teaching("07_flow_and_transformers", "adaln", "adaln_zero")
    block, summary = dit.Block(16, 2, "adaln-zero"), torch.randn(2, 16, generator=NUMBERS)
    torch.nn.init.normal_(block.modulation.weight)
    tokens = torch.randn(2, 9, 16, generator=NUMBERS)
    assert_close(adaln_zero(tokens, summary, block), block(tokens, None, summary))


def test_a_network_with_classes_by_hand_is_the_packages():
    (predict_noise,) = teaching("05_fashion_and_transfer", "class", "predict_noise")
    torch.manual_seed(0)
    unet = build_unet(presets.get("fashion", size="smoke")).eval()
    x_t, t, labels = torch.randn(4, 1, 28, 28, generator=NUMBERS), torch.tensor([0, 30, 60, 99]), torch.arange(4)
    mask = torch.tensor([True, False, True, False])
    c = torch.where(mask, labels, 10).float().view(-1, 1, 1)                    # 10 is the empty class
    assert_close(predict_noise(unet, x_t, t, labels, mask), unet(x_t, t, c).sample)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_gradient_of_parts_is_that_of_the_batch(parts):
    (backward_in_parts,) = teaching("05_fashion_and_transfer", "accumulate", "backward_in_parts")
    images, weights = torch.randn(7, 5, generator=NUMBERS), torch.ones(2, 5, requires_grad=True)
    (images @ weights[0]).square().mean().backward()
    backward_in_parts(lambda part: (part @ weights[1]).square().mean(), images, parts)
    assert_close(weights.grad[1], weights.grad[0])


# explorers

DIGITS = presets.get("mnist")
EXPLORERS = {
    "schedule": (lambda digits: explorers.schedule_explorer(load_images(DIGITS), digits.preset), "t", 700),
    "guidance": (lambda digits: explorers.guidance_explorer(digits, 2), "w", 8.0),
    "denoising": (lambda digits: explorers.denoising_explorer(digits, 3), "step", 3),
    "frechet": (lambda digits: explorers.frechet_explorer(), "features", 64),
    "reservoir": (lambda digits: explorers.reservoir_explorer(), "reservoir", 1),
    "painting": (lambda digits: explorers.painting_explorer(load_pipeline("wikiart"), 1), "w", 8.0),
    "latent": (lambda digits: explorers.latent_explorer(load_pipeline("wikiart"), 3, ["A sketch"]), "step", 3),
    "plane": (lambda digits: explorers.plane_explorer(digits.preset, points=20), "rule", "rescale"),
    "sdedit": (lambda digits: explorers.sdedit_explorer(digits, 2), "strength", 0.9),
    "attention": (lambda digits: explorers.attention_explorer(digits, 3), "token", 0),
}


@pytest.fixture
def shown(monkeypatch):
    """What an explorer displays, and the pictures with which it updates that."""
    displayed, updated = [], []
    handle = SimpleNamespace(update=updated.append)
    monkeypatch.setattr(explorers, "display", lambda *shown, **options: displayed.extend(shown) or handle)
    return displayed, updated


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_shows_a_picture_at_once_and_another_when_a_control_moves(name, digits, shown):
    displayed, updated = shown
    make, control, value = EXPLORERS[name]
    explorer = make(digits)
    explorer._ipython_display_()
    picture, controls = displayed
    assert Image.open(io.BytesIO(picture.data)).width > 100 and not updated
    assert "application/vnd.jupyter.widget-view+json" in controls
    first, before = explorer.controls[control].value, picture.data
    explorer.controls[control].value = value
    assert updated[-1].data == explorer.picture != before
    drawn = explorer.draw.cache_info().misses
    explorer.controls[control].value = first
    assert explorer.picture == before and explorer.draw.cache_info().misses == drawn        # from the cache


def test_a_stroke_of_the_mouse_is_a_stroke_of_the_drawing_and_changes_the_picture(digits):
    explorer = explorers.sdedit_explorer(digits, 2)
    pad, first, side = explorer.controls["drawing"], explorer.picture, explorers.Sketchpad.side

    def mouse(*events):
        for event, x, y in events:
            pad.canvas._handle_frontend_event(pad.canvas, {"event": f"mouse_{event}", "x": x, "y": y}, None)

    mouse(("move", 0, 0), ("down", side / 4, side / 2), ("up", side / 4, side / 2))
    assert len(pad.value) == 1 and explorer.picture == first                       # a seven of one stroke
    mouse(("down", side / 4, side / 2), ("move", side / 4, side / 2), ("move", side / 2, side / 2),
          ("move", side / 2, side / 4), ("out", side / 2, 0), ("move", side, 0))
    assert pad.value[1:] == ((((0.25, 0.5), (0.5, 0.5), (0.5, 0.25)), 0.1, (1.0,)),)
    menu, clear = pad.children[1].children
    drawn = explorer.picture
    clear.click()
    assert len({first, drawn, explorer.picture}) == 3
    assert stroke_drawing(pad.value, 28).shape == (1, 28, 28) and not stroke_drawing(pad.value, 28).any()
    for name in ("three", "seven"):
        menu.label = name
        assert torch.equal(stroke_drawing(pad.value, 28), stroke_drawing(DRAWINGS[name], 28))
    assert explorer.picture == first


@pytest.mark.parametrize("label", [-1, 1])
def test_the_mixture_in_the_plane_has_the_exact_score(label):
    scheduler, t = make_scheduler(dataclasses.replace(presets.get("mnist"), prediction="epsilon"), "ddim"), 400
    mixture, abar = explorers.Mixture(scheduler), scheduler.alphas_cumprod
    x = torch.randn(5, 2, generator=NUMBERS, requires_grad=True)
    means = mixture.means if label < 0 else mixture.means[2 * label:2 * label + 2]
    variance = abar[t] * mixture.width**2 + 1 - abar[t]
    parts = [torch.distributions.MultivariateNormal(abar[t].sqrt() * mean, variance * torch.eye(2)) for mean in means]
    log_density = torch.stack([part.log_prob(x) for part in parts]).logsumexp(0)
    (score,) = torch.autograd.grad(log_density.sum(), x)
    eps = mixture(x.detach()[..., None, None], t, torch.full((5, 1, 1), float(label))).sample
    assert_close(eps.flatten(1), -(1 - abar[t]).sqrt() * score, atol=1e-5, rtol=1e-4)


def test_a_training_view_is_updated_in_place(shown):
    displayed, updated = shown
    view = explorers.TrainingView(20, 4)
    for losses in ([1.0, 0.5], [1.0, 0.5, 0.4]):
        view.update(losses, torch.rand(1, 3, 1, 8, 8))
    assert len(displayed) == 1 and displayed[0].data == updated[0].data != updated[-1].data


def test_a_run_is_seen_from_its_files_while_another_process_trains(tmp_path, monkeypatch):
    for name in ("config.json", "metrics.jsonl"):
        lines = (CHECKPOINTS / "mnist-improved" / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:40 if name == "metrics.jsonl" else None]))
    (tmp_path / "samples").mkdir()
    for step, grey in ((500, 0.2), (1000, 0.6)):
        save_image(torch.full((3, 4, 6), grey), tmp_path / "samples" / f"step-{step:06d}.png")
    seen = []
    monkeypatch.setattr(explorers, "_progress", lambda *values: seen.extend(values))
    explorers.run_so_far(tmp_path)
    losses, steps, speed, batch_size, images = seen
    assert (len(losses), steps, batch_size) == (40, 10 * 938, 64) and speed > 0
    assert images.shape == (1, 1, 3, 4, 6) and images.unique().item() == pytest.approx(0.6, abs=0.01)


def test_check_gives_a_hint_and_never_the_answer(capsys):
    for number in EXERCISES:
        check(number, None)
        check(number, "something else")
        waiting, wrong = capsys.readouterr().out.splitlines()
        assert waiting.startswith(f"exercise {number}: no answer yet. Hint: ") and "not yet right. Hint: " in wrong
    check("1.3", 20)
    assert capsys.readouterr().out == "exercise 1.3: right\n"


@pytest.mark.parametrize("name, pictures", [("01_mnist_cfg", 3), ("02_cifar10_cfg", 0), ("03_wikiart_cfg", 1),
                                            ("04_guidance_study", 2), ("05_fashion_and_transfer", 0),
                                            ("06_latent_diffusion", 0), ("07_flow_and_transformers", 0)])
def test_solutions_run_and_are_right(name, pictures, capsys):
    """With what the notebook's cells have defined by then, at two steps."""
    dataset = {"04": "cifar10", "06": "wikiart", "07": "mnist"}.get(name[:2], name.split("_")[1])
    pipe, shown, namespace = load_pipeline(dataset), [], {"torch": torch}
    for node in ast.walk(ast.parse("\n".join(cell.source for cell in code_cells(name)))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("t2i_helpers"):
            exec(ast.unparse(node), namespace)
    namespace |= {
        "pipes": {"improved": pipe}, "improved": pipe.preset, "steps": 2, "few": 5, "display": shown.append,
        "encoder": load_text_encoder("minilm"), "rng": NUMBERS, "compression": lambda f, k: 3 * f**2 / k,
        "alphas_cumprod": make_scheduler(pipe.preset, "ddpm").alphas_cumprod,
    }
    if name == "04_guidance_study":
        namespace |= {"digits": load_pipeline("mnist"), "objects": pipe,
                      "steps": 4}               # one in each of the intervals of exercise 4.2
    if dataset == "wikiart":
        improved = presets.get("wikiart", "improved", "smoke")
        store, abar = painting_store(improved), make_scheduler(improved, "ddpm").alphas_cumprod
        first = torch.from_numpy(store.images[:8]).permute(0, 3, 1, 2) / 255
        namespace |= {"improved": improved, "store": store, "latent": pipe, "abar": abar,
                      "z_0": pipe.latent_space.encode(first), "eps": torch.randn(8, 4, 16, 16, generator=NUMBERS),
                      "c": pipe.embed(pipe.captions[:8])[0]}
    for cell in code_cells(f"solutions/{name}"):
        exec(cell.source, namespace)
    answers = [line for line in capsys.readouterr().out.splitlines() if line.startswith("exercise ")]
    chapter = f"{int(name[:2])}."
    assert sorted(answers) == sorted(f"exercise {number}: right" for number in EXERCISES if number.startswith(chapter))
    assert len(shown) == pictures
