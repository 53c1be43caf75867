"""Figures of samplers and of guidance's conventions: their metadata are what is drawn."""

import re

import diffusers
import pytest
import torch
from support import guided, of_diffusers, small_preset

from t2i_helpers import presets
from t2i_helpers.diffusion import SCHEDULERS, make_guider, make_scheduler
from t2i_helpers.reporting import guidance, study
from t2i_helpers.reporting.guidance import CONVENTIONS, TO_W, noise_levels

PRESET = presets.get("mnist", "improved", "smoke")
SCALES = (-1.0, 0.0, 0.5, 1.0, 2.0, 7.5)

C, N = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("where, written, w", CONVENTIONS)
def test_every_row_s_conversion_gives_the_same_prediction(where, written, w, s):
    torch.testing.assert_close(guided(make_guider("cfg", TO_W[w](s)), C, N), computed(written, s))


def computed(written, s):
    """What the table writes, such as "n + s (c - n)", of C and N."""
    if "c up to s = 1" in written and s <= 1:
        return C
    formula = written.partition(",")[0].removesuffix(" inside")
    return eval(re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula), {"c": C, "n": N, "s": s})


@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("original, row", [(False, "ClassifierFreeGuidance"), (True, "use_original_formulation=True")])
def test_the_library_s_guiders_are_what_their_rows_say(original, row, s):
    (written,) = [written for where, written, _ in CONVENTIONS if where == f"diffusers.guiders, {row}"]
    theirs = diffusers.guiders.ClassifierFreeGuidance(s, use_original_formulation=original)
    torch.testing.assert_close(guided(of_diffusers(theirs), C, N), computed(written, s))


@pytest.mark.parametrize("s, guides", [(0.0, False), (1.0, False), (1.1, True)])
def test_stable_diffusion_s_pipeline_is_off_up_to_1(s, guides):
    unet = type("UNet", (), {"config": type("Config", (), {"time_cond_proj_dim": None})})
    pipe = type("Pipe", (), {"_guidance_scale": s, "unet": unet})
    assert diffusers.StableDiffusionPipeline.do_classifier_free_guidance.fget(pipe) is guides


def test_the_table_says_what_0_and_1_mean():
    table = guidance.convention_table()
    meaning = {row[0].split(" (")[0]: row[2:] for row in table.rows}
    assert meaning["Ho & Salimans 2022"] == ["with the caption", "guided, w = 2", "w = s + 1"]
    assert meaning["Imagen"] == ["without the caption", "with the caption", "w = s"]
    assert meaning["diffusers, guidance_scale of Stable Diffusion"][:2] == ["with the caption"] * 2
    assert table.latex().partition(r"\midrule")[2].count(r"\\") == len(CONVENTIONS)


def test_both_forms_draw_the_same_images_after_conversion(digits):
    metadata = guidance.conventions(digits, steps=2, digits=(5,), scales=(0, 2)).metadata
    in_the_middle, on_the_right = metadata["largest_difference"]
    assert in_the_middle > 0.1 and on_the_right <= 1e-6
    assert metadata["w"] == [0, 2] and metadata["checkpoints"]["improved"]["weights_sha256_16"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_noise_levels_are_one_a_step_fall_and_are_the_scheduler_s_own_sigmas(name):
    for spacing in ("leading", "linspace", "trailing"):
        sigmas = noise_levels(make_scheduler(small_preset(), f"{name} spacing={spacing}"), 29)
        assert len(sigmas) == 29 and sigmas == sorted(sigmas, reverse=True)
    if name in ("lms", "euler"):
        scheduler = make_scheduler(presets.get("mnist"), f"{name} spacing=linspace")
        assert noise_levels(scheduler, 10) == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-3)


def test_sigma_schedules_records_the_numbers_that_it_draws():
    shown = guidance.sigma_schedules(PRESET, steps=10, schedulers=("ddpm", "lms"))
    (line, *_) = shown.figure.axes[0].lines
    assert shown.metadata["sigmas"]["ddpm spacing=leading"] == list(line.get_ydata())
    assert "trailing (used)" in [text.get_text() for text in shown.figure.axes[0].get_legend().get_texts()]


def invented_row(scheduler, steps, passes, value):
    metric = {"value": value, "interval": [value - 0.1, value + 0.1], "real": {"value": 0.9, "interval": [0.8, 1.0]}}
    record = dict.fromkeys(("git_commit", "git_dirty", "device", "weights_sha256_16", "classifier_sha256_16"), "0")
    cell = {"checkpoint": "ablation", "scheduler": scheduler, "steps": steps}
    return record | {"cell": cell, "w": 2.0, "n": 200, "forward_passes": passes, "training_steps": 1000, "seconds": 1.0,
                   "accuracy": metric, "classifier": {"frechet": metric}}


def test_quality_is_one_line_a_sampler_from_few_passes_to_many(monkeypatch):
    rows = [invented_row("heun", 10, 38, 0.7), invented_row("ddim eta=0.5", 20, 40, 0.8),
            invented_row("ddim eta=0.5", 5, 10, 0.5), invented_row("heun", 5, 18, 0.6),
            invented_row("ddpm", 1000, 2000, 0.9), invented_row("ddpm spacing=leading", 5, 10, 0.1)]
    monkeypatch.setitem(study.PARTS, "samplers", range(len(rows)))
    monkeypatch.setattr(study, "read_part", lambda part, size: dict(enumerate(rows)))
    shown = study.quality_against_passes()
    axis = shown.figure.axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines["heun"] == [[18, 0.6], [38, 0.7]] and lines["ddim eta=0.5"] == [[10, 0.5], [40, 0.8]]
    assert "ddpm" not in lines, "all T steps have another n"
    assert axis.get_xscale() == "log" and len(shown.metadata["study"]["cells"]) == 4
