"""Stable Diffusion as a pipeline of ours, on a tiny random model in the hub's layout, and what is measured of ours."""

import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support import refuses
from tokenizers.pre_tokenizers import ByteLevel
from torch.testing import assert_close

from t2i_helpers.diffusion import Loss, LossGuidance
from t2i_helpers.errors import BadCheckpoint, BadValue, PromptTooLong, SourceUnavailable
from t2i_helpers.evaluation.latent import add_noise, with_rotated_text, with_schedule
from t2i_helpers.models import load_pipeline
from t2i_helpers.models.stable_diffusion import FILES, load_stable_diffusion
from t2i_helpers.randomness import generator

PROMPTS = ["a cat on the moon", "a ship"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """8x8 latents of 64x64 pixels, tokens of single characters, SD 1.4's noise schedule."""
    characters = sorted(ByteLevel.alphabet())
    vocabulary = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer({token: i for i, token in enumerate(vocabulary)}, merges=[],
                                           model_max_length=32)
    text = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
            cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
        torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4, sample_size=64,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
        encoder = transformers.CLIPTextModel(text)
    scheduler = diffusers.PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                        skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)
    scheduler.register_to_config(clip_sample=False)                 # as in the file of Stable Diffusion 1.4
    path = tmp_path_factory.mktemp("hub") / "models" / "owner" / "tiny-sd"
    diffusers.StableDiffusionPipeline(
        vae, encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sd(folder):
    return load_stable_diffusion(folder, "cpu")


@pytest.fixture(scope="module")
def theirs(folder):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name, kind", [("ddim", diffusers.DDIMScheduler), ("euler", diffusers.EulerDiscreteScheduler),
                                        ("lms", diffusers.LMSDiscreteScheduler)])
@pytest.mark.parametrize("w", [1.0, 7.5])
def test_images_are_those_of_diffusers_to_1e_4(sd, theirs, name, kind, w):
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator("sample", seed)) for seed in (3, 4)])
    theirs.scheduler = kind.from_config(theirs.scheduler.config)
    expected = theirs(PROMPTS, latents=noise, guidance_scale=w, num_inference_steps=10, output_type="pt").images
    ours = sd(PROMPTS, w=w, steps=10, scheduler=name, seeds=[3, 4]).images
    assert ours.shape == (2, 3, 64, 64) and ours.std() > 0.01 and (ours[0] - ours[1]).abs().max() > 0.01
    assert_close(ours, expected.float(), atol=1e-4, rtol=0)


def test_prompts_have_all_tokens_of_the_encoder_and_a_longer_one_is_refused(sd):
    cond, null = sd.embed(PROMPTS)
    assert cond.shape == (2, 32, 16) and null.shape == (1, 32, 16)
    with refuses(PromptTooLong, "32 fit"):
        sd(["a very long prompt " * 3])


def test_other_guiders_losses_and_latents_work(sd):
    plain, rescaled = (sd(PROMPTS, guider=sd.make_guider(name, 7.5), steps=3, scheduler="ddim", seeds=[0, 1]).images
                       for name in ("cfg", "rescale"))
    dark = LossGuidance(Loss(lambda z_0: sd.decode(z_0).mean((1, 2, 3)), 0.5), 1.0)
    darker = sd(PROMPTS, w=7.5, steps=3, scheduler="ddim", seeds=[0, 1], loss=dark).images
    assert not torch.equal(plain, rescaled) and darker.mean() < plain.mean()
    z = sd.encode(plain)
    vae = sd.latent_space.autoencoder.network
    assert_close(z, vae.encode(2 * plain - 1).latent_dist.mode() * vae.config.scaling_factor)


def test_the_mirror_is_read_and_without_it_the_hub_is_named(folder, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(folder.parents[2]))
    assert load_stable_diffusion("owner/tiny-sd").preset.resolution == 64
    monkeypatch.delenv("T2I_MIRROR")
    with refuses(SourceUnavailable, "owner/tiny-sd", "T2I_MIRROR"):
        load_stable_diffusion("owner/tiny-sd")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_without_all_weights_is_refused(folder, tmp_path, part):
    shutil.copytree(folder, tmp_path / "sd")
    (weights,) = (tmp_path / "sd" / part).glob("*.safetensors")
    state = load_file(weights)
    save_file({name: state[name] for name in sorted(state)[1:]}, weights, metadata={"format": "pt"})
    with refuses(BadCheckpoint, "cannot be read", part):
        load_stable_diffusion(tmp_path / "sd")
    weights.unlink()
    with refuses(BadCheckpoint, "cannot be read"):
        load_stable_diffusion(tmp_path / "sd")


def test_every_file_that_is_read_is_downloaded(folder, tmp_path):
    read = {file for pattern in FILES for file in folder.glob(pattern)}
    shutil.copytree(folder, tmp_path / "sd", ignore=lambda path, names: [
        name for name in names if (file := Path(path) / name).is_file() and file not in read])
    assert load_stable_diffusion(tmp_path / "sd", "cpu")(["a"], steps=1).images.isfinite().all()


# what is measured of ours

@pytest.fixture(scope="module")
def ours():
    return load_pipeline("wikiart")


def test_another_length_of_the_schedule_is_the_samplers_alone(ours):
    other = with_schedule(ours, 50)
    assert ours.preset.train_timesteps == 1000 and other.unet is ours.unet
    assert len(other.make_scheduler("dpm++").alphas_cumprod) == 50
    short, usual = (each(ours.captions[:1], w=1.0, steps=2, scheduler="dpm++").images for each in (other, ours))
    assert (short - usual).abs().mean() > 0.01
    with refuses(BadValue, "1 to 50"):
        other(ours.captions[:1], steps=51, scheduler="dpm++")


def test_rotated_text_says_the_same_in_other_coordinates(ours):
    before, after = (torch.cat(each.embed(ours.captions[:3])).flatten(1) for each in (ours, with_rotated_text(ours)))
    assert (before - after).abs().mean() > 0.1
    assert_close(torch.cdist(after, after), torch.cdist(before, before), atol=1e-2, rtol=1e-3)


def test_noise_is_relative_to_the_deviation():
    x = torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    added = add_noise(x, 0.5) - x
    assert added.std().item() == pytest.approx(0.5 * x.std().item(), rel=0.05)
