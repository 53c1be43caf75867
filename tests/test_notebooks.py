"""Notebooks: pairs that agree, pictures inside, a teaching loop that equals the package's, solutions that run."""

import ast
import copy
import re

import jupytext
import pytest
import torch

from t2i_helpers import presets
from t2i_helpers.data import from_uint8
from t2i_helpers.diffusion import make_scheduler
from t2i_helpers.models import build_unet, load_pipeline
from t2i_helpers.paths import ROOT
from t2i_helpers.reporting import study
from t2i_helpers.training import training_loss

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_agrees_with_its_pair_is_small_and_carries_its_pictures(path):
    notebook, pair = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    assert [(each.cell_type, each.source) for each in notebook.cells] == [
        (each.cell_type, each.source) for each in pair.cells]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum(bool({"image/png", "image/jpeg"} & output.get("data", {}).keys()) for output in outputs) >= 5
    assert not [output for output in outputs if output.output_type == "error"]
    assert path.stat().st_size < 1e6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_defines_only_the_teaching_step(path):
    """A notebook holds the story and calls: nothing longer than five lines is defined in it."""
    cells = [cell for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    for node in (node for cell in cells if "teaching-step" not in cell.metadata.get("tags", [])
                 for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)):
        assert node.end_lineno - node.lineno < 5, node.name


def teaching_step():
    """The function of notebook 01's teaching cell."""
    notebook = jupytext.read(ROOT / "notebooks" / "01_mnist_cfg.py")
    (cell,) = [cell for cell in notebook.cells if "teaching-step" in cell.metadata.get("tags", [])]
    namespace = {"torch": torch}
    exec(cell.source, namespace)
    return namespace["training_step"]


@pytest.mark.parametrize("variant", presets.VARIANTS)
def test_teaching_step_is_the_packages(variant):
    preset = presets.get("mnist", variant, "smoke")
    torch.manual_seed(0)
    ours = build_unet(preset)
    theirs = copy.deepcopy(ours)
    images, labels = torch.randint(256, (6, 1, 28, 28), dtype=torch.uint8), torch.arange(6)
    table = torch.randn(11, 8, 384)
    scheduler = make_scheduler(preset, "ddpm")
    optimizers = [torch.optim.SGD(unet.parameters(), lr=1.0) for unet in (ours, theirs)]     # weights move by gradients

    rng = torch.Generator().manual_seed(7)
    loss = teaching_step()(ours, optimizers[0], scheduler.alphas_cumprod, images, labels, table, preset, rng)

    rng = torch.Generator().manual_seed(7)
    noise = torch.randn(images.shape, generator=rng)
    t = torch.randint(1000, (6,), generator=rng)
    dropped = torch.rand(6, generator=rng) < preset.caption_dropout
    rows = torch.where(dropped, 10, labels)
    expected = training_loss(theirs, scheduler, from_uint8(images, preset.pixel_range), table[rows], noise, t)
    expected.backward()
    optimizers[1].step()

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name, count, pictures", [("01_mnist_cfg", 3, 4), ("02_cifar10_cfg", 3, 0),
                                                   ("03_wikiart_cfg", 6, 1), ("04_guidance_study", 3, 2)])
def test_solutions_of_the_exercises_run(name, count, pictures):
    """With what the notebook's cells have defined by then, at two steps."""
    from t2i_helpers.data import captions, painting_store
    from t2i_helpers.evaluation import evaluate, wilson_interval
    from t2i_helpers.models import load_text_encoder

    text = (ROOT / "notebooks" / f"{name}.py").read_text()
    dataset = name.split("_")[1] if name != "04_guidance_study" else "cifar10"
    improved = presets.get(dataset, "improved", "smoke")
    solutions = re.findall(r"# ```python\n(.*?)# ```", text, re.DOTALL)
    shown = []
    namespace = {
        "pipes": {"improved": load_pipeline(dataset, "improved")}, "improved": improved, "steps": 2, "few": 5,
        "captions": captions, "torch": torch, "make_scheduler": make_scheduler, "display": shown.append,
        "evaluate": evaluate, "wilson_interval": wilson_interval, "encoder": load_text_encoder("minilm"),
    }
    if name == "04_guidance_study":
        namespace |= {"digits": load_pipeline("mnist"), "objects": namespace["pipes"]["improved"], "study": study,
                      "steps": 4}               # one in each of the intervals of exercise 2
    if dataset == "wikiart":
        latent = namespace["pipes"]["improved"]
        namespace |= {"store": painting_store(improved), "latent": latent, "z_0": torch.randn(8, 4, 16, 16),
                      "eps": torch.randn(8, 4, 16, 16), "abar": make_scheduler(improved, "ddpm").alphas_cumprod,
                      "c": latent.embed(latent.captions[:8])[0]}
    for solution in solutions:
        exec("\n".join(line[2:] for line in solution.replace("steps=10", "steps=2").splitlines()), namespace)
    assert len(solutions) == count and len(shown) == pictures
