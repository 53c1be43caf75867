"""Images and sentences in one space: a small image encoder beside the packaged MiniLM, a stand-in for CLIP.

``python scripts/train_image_text.py`` trains it, into ``checkpoints/image-text``.
"""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.functional import center_crop
from transformers import RegNetConfig, RegNetModel

from ..errors import BadValue, or_bad_checkpoint
from ..paths import CHECKPOINTS, read_json, save_tensors
from ..provenance import write_json
from .text import check_prompts, load_text_encoder
from .weights import load_state

FOLDER = CHECKPOINTS / "image-text"
WEIGHTS_FILE = "model.safetensors"
SIDE = 32                         # pixels a side that the image encoder sees
CONFIG = {
    "text_encoder": "minilm",
    "projection_dim": 128,        # width of the common space
    # three stages of plain residual blocks; ConvNeXts of this cost train five times as slowly on a CPU
    "vision": dict(embedding_size=32, hidden_sizes=[64, 128, 256], depths=[1, 2, 2], layer_type="x", groups_width=256,
                   downsample_in_first_stage=False, hidden_size=256),
}


class ImageText(nn.Module):
    """Images and sentences as unit vectors; the larger their cosine, the better they fit (CLIP, Radford et al. 2021).
    The sentence encoder is frozen; the image encoder, both projections and the scale of the logits are trained."""

    device = property(lambda self: self.logit_scale.device)

    def __init__(self, config: dict = CONFIG):
        super().__init__()
        encoder = load_text_encoder(config["text_encoder"])
        self.config, self.tokenizer = config, encoder.tokenizer
        self.text_model = copy.deepcopy(encoder.model)
        self.vision_model = RegNetModel(RegNetConfig(**config["vision"]))
        self.visual_projection, self.text_projection = (
            nn.Linear(width, config["projection_dim"], bias=False)
            for width in (self.vision_model.config.hidden_sizes[-1], encoder.dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))               # as in CLIP

    def train(self, mode: bool = True):
        super().train(mode)
        self.text_model.eval()
        return self

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Unit vectors [n, d] of `images`, floats [n, 1 or 3, h, w] in [0, 1] of at most 32x32, padded with black and
        expanded to RGB. Differentiable in the images; BadValue for other shapes."""
        if images.ndim != 4 or images.shape[1] not in (1, 3) or max(images.shape[2:]) > SIDE:
            raise BadValue(f"images {tuple(images.shape)}: give [n, 1 or 3, h, w] of at most {SIDE}x{SIDE} pixels")
        pooled = self.vision_model(pad_to_rgb32(images)).pooler_output.flatten(1)                       # [n, 256]
        return F.normalize(self.visual_projection(pooled).float(), dim=1)

    @torch.no_grad()
    def sentence_features(self, prompts: list[str]) -> torch.Tensor:
        """The frozen encoder's vectors [n, dim] of `prompts`: means of their tokens, as MiniLM was trained (Reimers &
        Gurevych 2019, arXiv:1908.10084), before the projection. BadValue for a prompt that is too long."""
        check_prompts(prompts)
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt").to(self.device)
        if tokens.input_ids.shape[1] > (longest := self.text_model.config.max_position_embeddings):
            raise BadValue(f"a prompt of {tokens.input_ids.shape[1]} tokens: {longest} fit, shorten it")
        states, mask = self.text_model(**tokens).last_hidden_state, tokens.attention_mask[..., None]
        return (states * mask).sum(1) / mask.sum(1)

    def project_sentences(self, features: torch.Tensor) -> torch.Tensor:
        """Unit vectors [n, d] of the output of `sentence_features`."""
        return F.normalize(self.text_projection(features).float(), dim=1)

    def embed_texts(self, prompts: list[str]) -> torch.Tensor:
        """Unit vectors [n, d] of `prompts`."""
        return self.project_sentences(self.sentence_features(prompts))

    def similarity(self, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
        """The cosine [n, m] of every image with every prompt, -1 to 1; images as for `embed_images`."""
        return self.embed_images(images) @ self.embed_texts(prompts).T

    def probabilities(self, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
        """[n, m]: how likely each of the `prompts` is an image's, if one of them is; rows sum to 1."""
        return (self.logit_scale.exp() * self.similarity(images, prompts)).softmax(1)

    def trained_state(self) -> dict[str, torch.Tensor]:
        """The weights that are not the sentence encoder's."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("text_model.")}

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (float16) to `folder`; the sentence encoder stays in its package."""
        save_tensors(folder / WEIGHTS_FILE, {name: value.half() for name, value in self.trained_state().items()})
        write_json(folder / "config.json", self.config)


def pad_to_rgb32(images: torch.Tensor) -> torch.Tensor:
    """[n, 1 or 3, h, w] in [0, 1] to [n, 3, 32, 32]: black around smaller images, a single channel repeated."""
    return center_crop(images, [SIDE, SIDE]).expand(-1, 3, -1, -1)


def load_image_text(device="cpu") -> ImageText:
    """The shipped model, frozen; its accuracies are in the evaluation.json beside it. BadCheckpoint if damaged."""
    with or_bad_checkpoint(FOLDER, "restore it, or run python scripts/train_image_text.py"):
        model = ImageText(read_json(FOLDER / "config.json"))
        weights = load_state(FOLDER / WEIGHTS_FILE)
        if wrong := weights.keys() ^ model.trained_state().keys():
            raise ValueError(f"{len(wrong)} weights do not fit, such as {min(wrong)}")
        model.load_state_dict(weights, strict=False)                   # all but the sentence encoder
    return model.requires_grad_(False).eval().to(device)
