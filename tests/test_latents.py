"""An autoencoder's latents, the standardised space that a U-Net sees, the training of both; and Stable Diffusion as a
pipeline of ours, on a tiny random model in the hub's layout."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import train_autoencoder as training
import transformers
from diffusers import AutoencoderTiny
from safetensors.torch import load_file
from support import MIRROR, WIKIART, change_tensors, needs_wikiart, random_images, refuses
from tokenizers.pre_tokenizers import ByteLevel
from torch.testing import assert_close
from torchmetrics.functional.image import peak_signal_noise_ratio

from t2i_helpers import presets
from t2i_helpers.data import LabelledImages, from_uint8
from t2i_helpers.data.decoding import decode
from t2i_helpers.data.synthetic import draw_shapes
from t2i_helpers.data.wikiart_files import find_art_files, read_paintings
from t2i_helpers.diffusion import Loss, LossGuidance
from t2i_helpers.errors import BadCheckpoint, BadValue, PromptTooLong, SourceUnavailable
from t2i_helpers.evaluation.latent import add_noise, with_rotated_text, with_schedule
from t2i_helpers.models import Autoencoder, latents_of, load_autoencoder, load_latent_space, load_pipeline
from t2i_helpers.models.latents import WEIGHTS_FILE
from t2i_helpers.models.stable_diffusion import FILES, load_stable_diffusion
from t2i_helpers.randomness import generator
from t2i_helpers.training import train

CONFIG = dict(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
              num_encoder_blocks=(0, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 0), latent_magnitude=3)


def save_autoencoder(folder, seed=0, **changes):
    torch.manual_seed(seed)
    AutoencoderTiny(**CONFIG | changes).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_autoencoder(tmp_path_factory.mktemp("autoencoder"))


@pytest.fixture(scope="module")
def shapes():
    """70 pictures of 32x32: more than are encoded at once."""
    return SimpleNamespace(images=draw_shapes(70, 10, 32, seed=0)[0], fingerprint="shapes-70")


@pytest.fixture
def encoded(folder, shapes, empty_data_folder):
    """(latents, their space, the images in [0, 1])."""
    return *latents_of(shapes, folder), from_uint8(shapes.images, (0, 1))


def test_an_autoencoder_maps_8x8_pixels_to_4_numbers_and_back(folder, caplog):
    autoencoder, x = load_autoencoder(folder), torch.rand(2, 3, 24, 16)
    assert not caplog.records                                                     # diffusers warns of its own config
    latents = autoencoder.encode(x)
    assert latents.shape == (2, 4, 3, 2) and latents.dtype == torch.float32
    again = autoencoder.decode(latents)
    assert latents.is_contiguous() and again.is_contiguous()                      # as safetensors wants them
    assert again.shape == x.shape and again.dtype == torch.float32 and 0 <= again.min() < again.max() <= 1
    network = AutoencoderTiny.from_pretrained(folder)                             # of pixels from -1 to 1
    assert_close(latents, network.encode(2 * x - 1).latents)
    assert_close(again, (network.decode(latents).sample.clamp(-1, 1) + 1) / 2)
    assert not any(parameter.requires_grad for parameter in autoencoder.network.parameters())
    for shape in ((2, 3, 20, 16), (2, 3, 16, 12), (2, 1, 16, 16), (3, 16, 16)):
        with refuses(BadValue, str(shape), "multiples of 8"):
            autoencoder.encode(torch.rand(shape))


def test_latents_of_an_image_and_of_its_mirror_image_are_standardised_by_channel(encoded):
    latents, space, x = encoded
    assert latents.shape == (70, 2, 4, 4, 4) and latents.dtype == torch.float16
    z = (latents.float() - space.mean.view(4, 1, 1)) / space.std.view(4, 1, 1)
    assert_close(z.mean((0, 1, 3, 4)), torch.zeros(4), atol=0.01, rtol=0)
    assert_close(z.std((0, 1, 3, 4)), torch.ones(4), atol=0.01, rtol=0)
    for place, images in enumerate((x, x.flip(-1))):
        assert (space.encode(images) - z[:, place]).square().mean() < 0.005          # kept ones may be bf16's


def test_images_are_encoded_once(encoded, shapes, folder, tmp_path, empty_data_folder, monkeypatch):
    latents, space, _ = encoded
    monkeypatch.setattr(Autoencoder, "encode", lambda *_: pytest.fail("encoded again"))
    again, same = latents_of(shapes, folder)
    assert torch.equal(again, latents) and torch.equal(same.mean, space.mean) and torch.equal(same.std, space.std)
    other_images = SimpleNamespace(images=shapes.images, fingerprint="shapes-71")
    for images, name in ((other_images, folder), (shapes, save_autoencoder(tmp_path / "other", seed=1))):
        with pytest.raises(pytest.fail.Exception, match="encoded again"):
            latents_of(images, name)
    (store,) = empty_data_folder.glob("latents-*.safetensors")
    store.write_bytes(store.read_bytes()[:100])
    with pytest.raises(pytest.fail.Exception, match="encoded again"):
        latents_of(shapes, folder)


def test_a_latent_space_survives_json_and_refuses_another_encoder(encoded, tmp_path, folder):
    _, space, x = encoded
    copy = save_autoencoder(tmp_path / "copy", seed=1)
    metadata, weights = json.loads(json.dumps(space.metadata())) | {"autoencoder": copy}, Path(copy) / WEIGHTS_FILE
    with refuses(BadCheckpoint, copy, metadata["encoder_sha256_16"], "restore"):
        load_latent_space(metadata)
    change_tensors(weights, lambda other: load_file(Path(folder) / WEIGHTS_FILE) | {        # only the decoder is other
        name: weight for name, weight in other.items() if name.startswith("decoder")})
    again = load_latent_space(metadata)
    assert_close(again.encode(x), space.encode(x))
    assert not torch.equal(again.decode(again.encode(x)), space.decode(space.encode(x)))


@pytest.mark.parametrize("damage", [
    shutil.rmtree, lambda folder: os.truncate(folder / WEIGHTS_FILE, 1000),
    lambda folder: (folder / "config.json").unlink(), lambda folder: (folder / "config.json").write_text("{"),
    lambda folder: change_tensors(folder / WEIGHTS_FILE, lambda weights: dict([*weights.items()][1:])),
    lambda folder: (folder / "config.json").write_text((folder / "config.json").read_text().replace("8", "16")),
    lambda folder: save_autoencoder(folder, latent_channels=8),
], ids=["missing", "cut short", "without config", "no config", "a weight too few", "other widths", "8 latent channels"])
def test_a_damaged_autoencoder_and_taesd_without_mirror_and_hub_are_refused(folder, tmp_path, damage):
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy)
    with refuses(BadCheckpoint, str(copy)):
        load_autoencoder(str(copy))
    with refuses(SourceUnavailable, "madebyollin/taesd", "T2I_MIRROR", "own"):
        load_autoencoder("taesd")


@needs_wikiart
@pytest.mark.skipif(not (MIRROR / "models/madebyollin/taesd").is_dir(), reason="T2I_MIRROR holds no madebyollin/taesd")
def test_taesd_keeps_what_a_painting_shows(monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    file = find_art_files(WIKIART)[0]
    paintings = read_paintings(file, np.arange(file.rows) % 300 == 0)
    images = torch.stack([decode(painting.encoded, 128) for painting in paintings])
    assert training.psnr(load_autoencoder("taesd"), images) > 22


def test_a_latent_model_is_trained_resumed_and_drawn_from(folder, tmp_path):
    preset = dataclasses.replace(presets.get("wikiart", "improved", "smoke"), autoencoder=folder,
                                 block_channels=(32, 64), down_blocks=(presets.DOWN, presets.CROSS))
    run = train(preset, tmp_path / "run", max_steps=1)
    assert train(preset, tmp_path / "run", max_steps=2).metrics()[-1]["step"] == 2
    pipe, whole = load_pipeline(run.folder), load_pipeline(train(preset, tmp_path / "whole", max_steps=2).folder)
    for resumed, straight in zip(pipe.unet.parameters(), whole.unet.parameters(), strict=True):
        assert torch.equal(resumed, straight)
    assert pipe.unet.config.in_channels == 4 and pipe.unet.config.sample_size == 16
    prompts = [pipe.captions[0], "A landscape in the style of Baroque"]
    images = pipe(prompts, seeds=[0, 1]).images
    assert images.shape == (2, 3, 128, 128) and 0 <= images.min() < images.max() <= 1
    assert_close(pipe.decode(pipe.encode(images)),
                               pipe.latent_space.autoencoder.decode(pipe.latent_space.autoencoder.encode(images)),
                               atol=1e-5, rtol=0)


def fake_maps(images):
    """Two maps that know each pixel's colour, as a perceptual network."""
    return [F.avg_pool2d(images, 4), F.avg_pool2d(images, 8).square()]


@pytest.mark.parametrize("halved, colour", [(False, 0.0), (True, 0.0), (False, 0.7), (True, 0.7)])
def test_autoencoder_loss_is_its_formula(folder, halved, colour):
    network = AutoencoderTiny.from_pretrained(folder)
    x, noise = draw_shapes(3, 3, 64, seed=1)[0] / 255, torch.randn(3, 4, 8, 8)
    loss = training.autoencoder_loss(network, fake_maps, x, noise, halved, 0.02, colour)
    z, target = network.encode(x * 2 - 1).latents + 0.03 * noise, x
    if halved:
        z, target = (F.interpolate(t, scale_factor=0.5, mode="area") for t in (z, x))
    decoded = network.decode(z).sample / 2 + 0.5
    distance = 0
    for a, b in zip(fake_maps(decoded), fake_maps(target)):
        a, b = (f / f.square().sum(1, keepdim=True).sqrt() for f in (a, b))
        distance += ((a - b) ** 2).sum() / len(a) / a.shape[2] / a.shape[3]
    side = decoded.shape[-1] // 8
    error = (decoded - target).reshape(3, 3, side, 8, side, 8).mean((3, 5))
    grey = error.sum(1, keepdim=True) / 3
    expected = (decoded - target).abs().mean() + 0.02 * distance
    expected += colour * (error.abs().mean() + 2 * (error - grey).abs().mean())
    assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_stages_continue_after_the_last_finished_one(tmp_path, monkeypatch, capsys):
    images = draw_shapes(9, 3, 64, seed=3)[0]
    dataset = LabelledImages(images, torch.zeros(9).long(), [], "shapes", "f", torch.zeros(9).long())
    monkeypatch.setattr(training, "load_images", lambda preset, split: dataset)
    monkeypatch.setattr(training, "perceptual_maps", lambda device: fake_maps)
    monkeypatch.setattr(training, "CONFIG", CONFIG)
    stages = training.Stage(2, 1e-1, 0.02, 0.0), training.Stage(1, 0.0, 0.05, 1.0)
    kept = []
    for done in (1, 2, 2):
        monkeypatch.setattr(training, "STAGES", stages[:done])
        training.main(tmp_path)
        sidecar = json.loads((tmp_path / "provenance.json").read_text())
        assert [stage["steps"] for stage in sidecar["stages"]] == [2, 1][:done]
        kept.append(load_file(tmp_path / WEIGHTS_FILE))
    assert capsys.readouterr().out.count("dB on held-out") == 2                     # the third call had nothing to do
    assert sidecar["heldout_psnr_db"] == pytest.approx(training.psnr(load_autoencoder(str(tmp_path)), images))
    assert all(torch.equal(kept[0][name], kept[2][name]) for name in kept[0]), "a stage without learning began anew"


def test_crops_are_windows_of_their_image_mirrored_half_the_time():
    images = random_images(200, 3, 66, 67)
    windows = images.unfold(2, 64, 1).unfold(3, 64, 1).flatten(2, 3)                      # [200, 3, 12, 64, 64]
    crops = training.random_crops(images, torch.Generator().manual_seed(1))
    each, way = (crops[:, :, None] == torch.cat([windows, windows.flip(-1)], 2)).all(-1).all(-1).all(1).nonzero().T
    assert crops.dtype == torch.uint8 and each.tolist() == [*range(200)]
    assert len(set((way % 12).tolist())) == 12 and 70 < (way >= 12).sum() < 130


def test_perceptual_maps_have_strides_4_8_and_16_and_psnr_is_torchmetrics_s_image_by_image():
    maps = training.perceptual_maps("cpu")(torch.rand(1, 3, 64, 64))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 16), (8, 8), (4, 4)]
    images = draw_shapes(60, 10, 16, seed=2)[0]
    blurred = F.avg_pool2d(images / 255, 5, 1, 2)
    rows = iter(blurred.split(50))
    fake = SimpleNamespace(encode=lambda x: x, decode=lambda _: next(rows))
    expected = [peak_signal_noise_ratio(*pair, data_range=1.0) for pair in zip(blurred, images / 255)]
    assert training.psnr(fake, images) == pytest.approx(np.mean(expected), abs=1e-3)


# Stable Diffusion

PROMPTS = ["a cat on the moon", "a ship"]


@pytest.fixture(scope="module")
def sd_folder(tmp_path_factory):
    """8x8 latents of 64x64 pixels, tokens of single characters, SD 1.4's noise schedule."""
    characters = sorted(ByteLevel.alphabet())
    vocabulary = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer({token: i for i, token in enumerate(vocabulary)}, merges=[],
                                           model_max_length=32)
    text = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
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
    path = tmp_path_factory.mktemp("sd")
    diffusers.StableDiffusionPipeline(
        vae, encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sd(sd_folder):
    return load_stable_diffusion(sd_folder, "cpu")


@pytest.mark.parametrize("name, kind", [("ddim", diffusers.DDIMScheduler), ("euler", diffusers.EulerDiscreteScheduler),
                                        ("lms", diffusers.LMSDiscreteScheduler)])
@pytest.mark.parametrize("w", [1.0, 7.5])
def test_images_are_those_of_diffusers_to_1e_4(sd, sd_folder, name, kind, w):
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator("sample", seed)) for seed in (3, 4)])
    theirs.scheduler = kind.from_config(theirs.scheduler.config)
    expected = theirs(PROMPTS, latents=noise, guidance_scale=w, num_inference_steps=10, output_type="pt").images
    ours = sd(PROMPTS, w=w, steps=10, scheduler=name, seeds=[3, 4]).images
    assert ours.shape == (2, 3, 64, 64) and ours.std() > 0.01 and (ours[0] - ours[1]).abs().max() > 0.01
    assert_close(ours, expected.float(), atol=1e-4, rtol=0)


def test_prompts_have_all_tokens_of_the_encoder_and_other_guiders_losses_and_latents_work(sd):
    cond, null = sd.embed(PROMPTS)
    assert cond.shape == (2, 32, 16) and null.shape == (1, 32, 16)
    with refuses(PromptTooLong, "32 fit"):
        sd(["a very long prompt " * 3])
    options = dict(steps=3, scheduler="ddim", seeds=[0, 1])
    plain, rescaled = (sd(PROMPTS, guider=sd.make_guider(name, 7.5), **options).images for name in ("cfg", "rescale"))
    dark = LossGuidance(Loss(lambda z_0: sd.decode(z_0).mean((1, 2, 3)), 0.5), 1.0)
    assert not torch.equal(plain, rescaled) and sd(PROMPTS, w=7.5, loss=dark, **options).images.mean() < plain.mean()
    vae = sd.latent_space.autoencoder.network
    assert_close(sd.encode(plain), vae.encode(2 * plain - 1).latent_dist.mode() * vae.config.scaling_factor)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_without_all_weights_is_refused(sd_folder, tmp_path, part):
    shutil.copytree(sd_folder, tmp_path / "sd")
    (weights,) = (tmp_path / "sd" / part).glob("*.safetensors")
    change_tensors(weights, lambda state: {name: state[name] for name in sorted(state)[1:]})
    with refuses(BadCheckpoint, "cannot be read", part):
        load_stable_diffusion(tmp_path / "sd")
    weights.unlink()
    with refuses(BadCheckpoint, "cannot be read"):
        load_stable_diffusion(tmp_path / "sd")


def test_a_mirror_needs_only_the_files_that_are_downloaded_and_without_it_the_hub_is_named(
        sd, sd_folder, tmp_path, monkeypatch):
    read = {file for pattern in FILES for file in sd_folder.glob(pattern)}
    shutil.copytree(sd_folder, tmp_path / "models" / "owner" / "sd", ignore=lambda path, names: [
        name for name in names if (file := Path(path) / name).is_file() and file not in read])
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path))
    pipe = load_stable_diffusion("owner/sd", "cpu")
    assert pipe.preset.resolution == 64 and torch.equal(pipe(PROMPTS, steps=1).images, sd(PROMPTS, steps=1).images)
    monkeypatch.delenv("T2I_MIRROR")
    with refuses(SourceUnavailable, "owner/sd", "T2I_MIRROR"):
        load_stable_diffusion("owner/sd")


# what is measured of ours

def test_another_length_of_the_schedule_is_the_samplers_alone(paintings):
    other = with_schedule(paintings, 50)
    assert paintings.preset.train_timesteps == 1000 and other.unet is paintings.unet
    assert len(other.make_scheduler("dpm++").alphas_cumprod) == 50
    prompt = paintings.captions[:1]
    short, usual = (each(prompt, w=1.0, steps=2, scheduler="dpm++").images for each in (other, paintings))
    assert (short - usual).abs().mean() > 0.01
    with refuses(BadValue, "1 to 50"):
        other(prompt, steps=51, scheduler="dpm++")


def test_rotated_text_says_the_same_in_other_coordinates(paintings):
    before, after = (torch.cat(each.embed(paintings.captions[:3])).flatten(1)
                     for each in (paintings, with_rotated_text(paintings)))
    assert (before - after).abs().mean() > 0.1
    assert_close(torch.cdist(after, after), torch.cdist(before, before), atol=1e-2, rtol=1e-3)


def test_noise_is_relative_to_the_deviation():
    x = torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    added = add_noise(x, 0.5) - x
    assert added.std().item() == pytest.approx(0.5 * x.std().item(), rel=0.05)
