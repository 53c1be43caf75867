"""Every setting, once. `thesis` is what sections 3.2-3.4 of the thesis's text state, errors included; `improved`
lists only what differs. `full` is for an A100, `demo` for a laptop, `smoke` for CI: a size changes how large a network
and its images are, how long to train, how many steps to sample, and the sources of data and text embeddings."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from .errors import check_name

DOWN, CROSS = "DownBlock2D", "CrossAttnDownBlock2D"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """All settings of one experiment. Change a field with ``dataclasses.replace(preset, field=value)``."""

    dataset: str
    variant: str
    size: str
    # images
    data_source: str                     # "hub" (a mirror is read first), "embedded", "procedural"; own data's path
    resolution: int                      # pixels a side
    channels: int
    pixel_range: tuple[float, float]     # of the U-Net's images; files and figures are always uint8 or [0, 1]
    caption: str                         # "{}" becomes the class name
    class_names: tuple[str, ...] | None = None     # of own data; the other datasets' are in data.captions
    horizontal_flips: bool = False       # each training image is mirrored with probability 1/2
    autoencoder: str | None = None       # "own", "taesd" or a folder: the U-Net works on its latents
    # text
    text_encoder: str                    # "clip", "minilm", "bert" or a local folder
    max_length: int                      # tokens, padding included
    genre_dropout: float | None = None   # share of captions without the painting's genre; None: no caption has one
    # U-Net
    network: str = "unet"                # its kind, one of models.unet.NETWORKS
    patch_size: int = 2                  # of a DiT: pixels a side of a token; its width is the first of block_channels,
    #                                      its depth layers_per_block, its heads attention_head_dim
    block_channels: tuple[int, ...]
    down_blocks: tuple[str, ...]         # the up path is its mirror
    layers_per_block: int
    cross_attention_dim: int
    attention_head_dim: int              # diffusers 0.42 uses it as the number of heads
    # noise: DDPM over train_timesteps
    prediction: str                      # what the network predicts: "epsilon", "v_prediction" or "flow" (no betas)
    beta_schedule: str
    beta_start: float
    beta_end: float
    train_timesteps: int
    # training: AdamW on the mean squared error of the prediction
    min_snr_gamma: float | None = None   # bound of the signal-to-noise ratio that weights the error
    batch_size: int
    learning_rate: float
    weight_decay: float
    epochs: int
    checkpoint_epochs: int               # epochs between kept checkpoints
    max_steps: int | None                # stops earlier than `epochs` when set
    caption_dropout: float               # probability of training on the empty caption
    ema_decay: float | None              # exponential moving average of the weights, used for sampling
    gradient_clip: float | None          # largest global gradient norm
    warmup_steps: int                    # linear learning-rate warm-up
    learning_rate_decay: str = "none"    # or "cosine": to zero at the end of the last epoch
    bf16: bool                           # on devices that compute in it
    # sampling
    scheduler: str
    timestep_spacing: str                # "leading" starts below T with too much noise; "trailing" at T
    sample_steps: int
    seed: int
    guidance_scales: tuple[float, ...]   # w of eps_null + w (eps_cond - eps_null)

    @property
    def unet_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the U-Net's input: pixels, or 4 latents for every 8x8 pixels."""
        if self.autoencoder is None:
            return self.channels, self.resolution, self.resolution
        return 4, self.resolution // 8, self.resolution // 8


COMMON = dict(                           # of all three experiments
    layers_per_block=2, cross_attention_dim=512, beta_start=1e-4, beta_end=0.02, train_timesteps=1000,
    weight_decay=0.01, max_steps=None, scheduler="ddpm", sample_steps=50, seed=422)
THESIS = {
    "mnist": dict(                       # section 3.2; 3,140,385 parameters
        resolution=28, channels=1, pixel_range=(0.0, 1.0), caption="A handwritten digit {}", max_length=8,
        block_channels=(32, 64, 64, 32), down_blocks=(DOWN, CROSS, CROSS, DOWN), attention_head_dim=8,
        beta_schedule="squaredcos_cap_v2", batch_size=512, learning_rate=1e-3, epochs=20, checkpoint_epochs=5,
        caption_dropout=0.0, guidance_scales=(0, 5, 10, 20, 50, 100)),
    "cifar10": dict(                     # section 3.3; 87,983,363 parameters, not ~45M
        resolution=32, channels=3, pixel_range=(-1.0, 1.0), caption="A photo of a {}", max_length=77,
        block_channels=(128, 256, 256, 512), down_blocks=(DOWN, CROSS, CROSS, DOWN), attention_head_dim=32,
        beta_schedule="linear", batch_size=128, learning_rate=1e-4, epochs=50, checkpoint_epochs=10,
        caption_dropout=0.1, guidance_scales=(0, 2, 5, 10)),
    "wikiart": dict(                     # section 3.4; 347,990,531 parameters, not ~150M
        resolution=128, channels=3, pixel_range=(-1.0, 1.0), caption="A painting in the style of {}", max_length=77,
        block_channels=(128, 256, 512, 512, 1024), down_blocks=(DOWN, CROSS, CROSS, CROSS, DOWN), attention_head_dim=32,
        beta_schedule="linear", batch_size=16, learning_rate=1e-5, epochs=100, checkpoint_epochs=10,
        caption_dropout=0.1, guidance_scales=(0, 2, 5, 10)),
}
OWN = dict(                              # your own images: see data/own.py
    resolution=64, channels=3, pixel_range=(-1.0, 1.0), caption="A photo of a {}", max_length=77,
    block_channels=(128, 256, 256, 512), down_blocks=(DOWN, CROSS, CROSS, DOWN), attention_head_dim=8,
    beta_schedule="squaredcos_cap_v2", batch_size=128, learning_rate=1e-4, epochs=1_000_000,
    max_steps=50_000, checkpoint_epochs=1_000_000, caption_dropout=0.1, guidance_scales=(0, 2, 5))
FASHION = dict(                          # a homework on Fashion-MNIST: 100 steps, the class in place of a text
    resolution=28, channels=1, pixel_range=(-1.0, 1.0), caption="A photo of a {}", text_encoder="label", max_length=1,
    network="class-unet", block_channels=(64, 128, 128), down_blocks=(DOWN, DOWN, DOWN), attention_head_dim=8,
    beta_schedule="linear", batch_size=128, learning_rate=1e-3, epochs=30, checkpoint_epochs=1_000_000,
    caption_dropout=0.1, guidance_scales=(0, 1, 2, 5))
VARIANTS = {
    "thesis": dict(prediction="epsilon", ema_decay=None, gradient_clip=None, warmup_steps=0, bf16=False,
                   timestep_spacing="leading"),
    "improved": dict(prediction="v_prediction", pixel_range=(-1.0, 1.0), caption_dropout=0.1, ema_decay=0.9999,
                     gradient_clip=1.0, warmup_steps=500, bf16=True, timestep_spacing="trailing"),
}
IMPROVED = {                             # further changes of `improved` for one dataset
    "mnist": dict(ema_decay=0.999, warmup_steps=100),      # 20 epochs are only 2,360 steps
    "cifar10": dict(max_length=16, horizontal_flips=True, min_snr_gamma=5.0, learning_rate=5e-4,
                    learning_rate_decay="cosine"),          # the longest caption needs 7 tokens
    # latents of 16x16; the longest caption needs 14 tokens; no min-SNR weighting, which gives little weight to the
    # noisiest steps, where the style is decided; the cosine schedule ends in pure noise
    "wikiart": dict(autoencoder="own", genre_dropout=0.15, horizontal_flips=True, max_length=16,
                    block_channels=(192, 384, 512), down_blocks=(DOWN, CROSS, CROSS), attention_head_dim=8,
                    beta_schedule="squaredcos_cap_v2", batch_size=128, learning_rate=3e-4,
                    learning_rate_decay="cosine", scheduler="dpm++"),
    # with the betas of 1,000 steps, 100 steps would leave 60 % of the image: they are ten times as large
    "fashion": dict(prediction="epsilon", train_timesteps=100, beta_start=1e-3, beta_end=0.2, sample_steps=100,
                    ema_decay=0.999, warmup_steps=100),
}

SIZES = ("full", "demo", "smoke")
SMOKE = dict(max_steps=4, batch_size=8, warmup_steps=0, sample_steps=3)
SMALL = {                                # changes of `demo` and `smoke` for one dataset
    "mnist": dict(batch_size=64, epochs=10, sample_steps=20),
    # attention at 8x8 pixels only: at 16x16 it costs a CPU as much as all convolutions
    "cifar10": dict(block_channels=(32, 64, 128, 128), down_blocks=(DOWN, DOWN, CROSS, DOWN), layers_per_block=1,
                    cross_attention_dim=128, attention_head_dim=8, batch_size=64, epochs=6, sample_steps=20),
    # the thesis's 1e-5 is for a large model
    "wikiart": dict(resolution=64, block_channels=(32, 64, 96, 128), down_blocks=(DOWN, DOWN, DOWN, CROSS),
                    layers_per_block=1, cross_attention_dim=128, attention_head_dim=8, batch_size=32,
                    learning_rate=5e-4, epochs=60, sample_steps=20),
    # CIFAR-10's network; small batches, since one to ten minutes on a CPU are few images
    "own": dict(resolution=32, block_channels=(32, 64, 128, 128), down_blocks=(DOWN, DOWN, CROSS, DOWN),
                layers_per_block=1, cross_attention_dim=128, batch_size=16, learning_rate=5e-4, max_steps=1_000,
                ema_decay=0.995, warmup_steps=50, sample_steps=20),
    "fashion": dict(block_channels=(16, 32, 64), layers_per_block=1, batch_size=64, epochs=2),
}
SMALL_IMPROVED = {                       # and of their `improved` alone
    "wikiart": dict(resolution=128, block_channels=(96, 128, 128), down_blocks=(DOWN, CROSS, CROSS),
                    attention_head_dim=4, batch_size=64, ema_decay=0.9995, warmup_steps=300, sample_steps=15),
}

# Notebook 7's networks, changes of MNIST's `improved`: a U-Net and DiTs of 1.1 million parameters each, of which the
# U-Net computes 3.8 times as much a step; other conditionings differ in the number of parameters
FLOW = dict(prediction="flow", scheduler="euler", batch_size=32, bf16=False, data_source="hub")
DIT = FLOW | dict(network="dit", patch_size=4, block_channels=(104,), layers_per_block=5, attention_head_dim=4)
# and changes of WikiArt's `improved`: on 4x16x16 latents, both have 1.7 million parameters and compute as much a step
LATENT_FLOW = dict(prediction="flow", scheduler="euler", sample_steps=20, learning_rate=1e-3, epochs=8,
                   checkpoint_epochs=100, ema_decay=0.999, warmup_steps=100, bf16=False)
NAMED = {                                # named trainings that differ from their preset: what they change in it
    "mnist-longer": dict(batch_size=512, epochs=20),          # as long as the thesis did
    "flow-unet": FLOW | dict(block_channels=(32, 32, 64), down_blocks=(DOWN, DOWN, CROSS), layers_per_block=1,
                             cross_attention_dim=32),
    "flow-dit": DIT, "flow-dit-half": DIT, "flow-dit-short": DIT,
    "flow-dit-cross": DIT | {"network": "dit-cross"}, "flow-dit-context": DIT | {"network": "dit-context"},
    "v-dit": DIT | {"prediction": "v_prediction", "scheduler": "ddim"},
    "latent-unet": LATENT_FLOW | dict(block_channels=(32, 32, 64), layers_per_block=2, cross_attention_dim=32),
    "latent-dit": LATENT_FLOW | dict(network="dit", block_channels=(120,), layers_per_block=6),
}
PRINTED_ELSEWHERE = {                    # by the sources of notebook 5
    "homework": dict(loss_low=0.105, loss_high=0.110, recognised_from_shares=0.5, recognised_to_shares=0.7),
    "course_report": dict(ddpm_s=120.0, ddim_s=20.0, ddim_steps=40),
    "paper": dict(frechet_before=1332.33, frechet_after=1088.94, images=6),
}

TRAINING_IMAGES = {"mnist": 60_000, "cifar10": 50_000, "wikiart": 81_444, "fashion": 60_000}      # on the hub

DATASETS = tuple(THESIS)                 # of the thesis
SETTINGS = THESIS | {"own": OWN, "fashion": FASHION}             # the last two are only `improved`
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "wikiart": "WikiArt", "fashion": "Fashion-MNIST"}   # for text


def get(dataset: str, variant: str = "improved", size: str = "demo") -> Preset:
    """The preset of `dataset` (one of DATASETS, or "fashion") as `variant` at `size`; UnknownName otherwise. That of
    "own" images lacks the images and their classes, which `data.own_preset` adds."""
    check_name("dataset", dataset, SETTINGS)
    check_name("variant", variant, VARIANTS if dataset in DATASETS else ("improved",))
    check_name("size", size, SIZES)
    improved, small = variant == "improved", size != "full"
    fields = COMMON | {"text_encoder": "minilm" if small else "clip"} | SETTINGS[dataset] | VARIANTS[variant]
    fields |= IMPROVED.get(dataset, {}) if improved else {}
    fields |= SMALL[dataset] if small else {}
    fields |= SMALL_IMPROVED.get(dataset, {}) if improved and small else {}
    fields |= SMOKE if size == "smoke" else {}
    offline = "embedded" if dataset == "mnist" else "procedural"
    source = "hub" if size == "full" or size == "demo" and dataset != "mnist" else offline
    return Preset(dataset=dataset, variant=variant, size=size, data_source=source, **fields)


def preset_hash(preset: Preset) -> str:
    """Twelve hexadecimal digits that change with any field. Fields at their default are left out, so that a preset
    keeps its hash when the class gains a field."""
    defaults = {field.name: field.default for field in dataclasses.fields(Preset)}
    changed = {name: value for name, value in to_dict(preset).items() if value != defaults[name]}
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]


def to_dict(preset: Preset) -> dict:
    """The preset's fields as JSON: tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(preset)))


def from_dict(fields: dict) -> Preset:
    """The inverse of `to_dict`."""
    return Preset(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
