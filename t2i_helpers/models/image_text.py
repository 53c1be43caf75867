"""Images and sentences in one space: a small image encoder beside the packaged MiniLM, a stand-in for CLIP.

``python scripts/train_image_text.py`` trains it, into ``checkpoints/image-text``.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.functional import center_crop
from transformers import BertModel, RegNetConfig, RegNetModel, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

from ..errors import BadCheckpoint, BadValue, one_line
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


class SentenceEncoder(BertModel):
    """A BERT whose pooled output is the mean of its tokens under the mask, as in MiniLM's training (Reimers & Gurevych
    2019, arXiv:1908.10084); the library's pooler reads the first token alone."""

    def forward(self, input_ids, attention_mask, **options):
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask, **options)
        mask = attention_mask[..., None].to(output.last_hidden_state)                       # [n, length, 1]
        output.pooler_output = (output.last_hidden_state * mask).sum(1) / mask.sum(1)       # [n, dim]
        return output


class ImageText(nn.Module):
    """Images and sentences as unit vectors; the larger their cosine, the better they fit (CLIP, Radford et al. 2021).
    The sentence encoder is frozen; the image encoder, both projections and the scale of the logits are trained."""

    def __init__(self, config: dict = CONFIG):
        super().__init__()
        self.config = config
        encoder = load_text_encoder(config["text_encoder"])
        self.tokenizer = encoder.tokenizer
        sentences = SentenceEncoder(encoder.model.config, add_pooling_layer=False)
        pictures = RegNetModel(RegNetConfig(**config["vision"]))
        pictures.pooler = nn.Sequential(pictures.pooler, nn.Flatten())                      # [n, d, 1, 1] -> [n, d]
        widths = VisionTextDualEncoderConfig.from_vision_text_configs(
            pictures.config, sentences.config, projection_dim=config["projection_dim"])
        self.dual = VisionTextDualEncoderModel(widths, pictures, sentences)                 # draws all weights anew
        self.dual.text_model.load_state_dict(encoder.model.state_dict(), strict=False)      # all but the pooler
        self.dual.text_model.requires_grad_(False).eval()

    def train(self, mode: bool = True):
        super().train(mode)
        self.dual.text_model.eval()
        return self

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Unit vectors [n, d] of `images`, floats [n, 1 or 3, h, w] in [0, 1] of at most 32x32, padded with black and
        expanded to RGB. Differentiable in the images; BadValue for other shapes."""
        if images.ndim != 4 or images.shape[1] not in (1, 3) or max(images.shape[2:]) > SIDE:
            raise BadValue(f"images {tuple(images.shape)}: the image-text model sees [n, 1 or 3, h, w] of at most "
                           f"{SIDE}x{SIDE} pixels")
        return F.normalize(self.dual.get_image_features(pixel_values=pad_to_rgb32(images)).pooler_output.float(), dim=1)

    @torch.no_grad()
    def sentence_features(self, prompts: list[str]) -> torch.Tensor:
        """The frozen encoder's vectors [n, dim] of `prompts`, before the projection; BadValue where one is too long."""
        check_prompts(prompts)
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt").to(self.dual.device)
        if tokens.input_ids.shape[1] > (longest := self.dual.text_model.config.max_position_embeddings):
            raise BadValue(f"a prompt of {tokens.input_ids.shape[1]} tokens: {longest} fit, shorten it")
        return self.dual.text_model(tokens.input_ids, tokens.attention_mask).pooler_output

    def project_sentences(self, features: torch.Tensor) -> torch.Tensor:
        """Unit vectors [n, d] of the output of `sentence_features`."""
        return F.normalize(self.dual.text_projection(features).float(), dim=1)

    def embed_texts(self, prompts: list[str]) -> torch.Tensor:
        """Unit vectors [n, d] of `prompts`."""
        return self.project_sentences(self.sentence_features(prompts))

    def similarity(self, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
        """The cosine [n, m] of every image with every prompt, -1 to 1; images as for `embed_images`."""
        return self.embed_images(images) @ self.embed_texts(prompts).T

    def probabilities(self, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
        """[n, m]: how likely each of the `prompts` is an image's, if one of them is; rows sum to 1."""
        return (self.dual.logit_scale.exp() * self.similarity(images, prompts)).softmax(1)

    def trained_state(self) -> dict[str, torch.Tensor]:
        """The weights that are not the sentence encoder's."""
        return {name: value for name, value in self.dual.state_dict().items() if not name.startswith("text_model.")}

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (float16) to `folder`; the sentence encoder stays in its package."""
        save_tensors(folder / WEIGHTS_FILE, {name: value.half() for name, value in self.trained_state().items()})
        write_json(folder / "config.json", self.config)


def pad_to_rgb32(images: torch.Tensor) -> torch.Tensor:
    """[n, 1 or 3, h, w] in [0, 1] to [n, 3, 32, 32]: black around smaller images, a single channel repeated."""
    return center_crop(images, [SIDE, SIDE]).expand(-1, 3, -1, -1)


def load_image_text(device="cpu") -> ImageText:
    """The shipped model, frozen; its accuracies are in the evaluation.json beside it. BadCheckpoint if damaged."""
    try:
        model = ImageText(read_json(FOLDER / "config.json"))
        weights = load_state(FOLDER / WEIGHTS_FILE)
        if wrong := weights.keys() ^ model.trained_state().keys():
            raise ValueError(f"{len(wrong)} weights do not fit, such as {min(wrong)}")
        model.dual.load_state_dict(weights, strict=False)                   # all but the sentence encoder
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, BadCheckpoint) as error:
        raise BadCheckpoint(f"{FOLDER} cannot be read ({one_line(error)}): restore it, or run "
                            "python scripts/train_image_text.py") from error
    return model.requires_grad_(False).eval().to(device)
