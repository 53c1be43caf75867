"""One encoded image to one uint8 square: a fast path for plain JPEGs, a careful one for everything else."""

import contextlib
import io
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.functional import pil_to_tensor

from ..errors import one_line

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION = 0x0112                     # EXIF's tag of a rotated camera
DECODER = "torchvision JPEG, Pillow for all else"
FILTER = "bilinear with antialiasing, aspect ratio not kept"


class Undecodable(Exception):
    """These bytes are not an image that can be opened safely; the message is the reason."""


def decode(encoded: bytes | None, size: int) -> torch.Tensor:
    """uint8 [3, size, size] of an encoded image, within two grey levels of Pillow's own decoding and resizing. Plain
    JPEGs use torchvision's decoder, which is 1.6 times as fast. CMYK, palettes, 16 bits, transparency (over white) and
    EXIF rotation become upright RGB. Raises Undecodable for damage and over 179 million pixels."""
    with _opened(encoded) as image:
        if image.format == "JPEG" and image.mode in ("RGB", "L") and image.getexif().get(ORIENTATION, 1) == 1:
            with contextlib.suppress(RuntimeError):          # what torchvision cannot decode, Pillow may
                data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
                pixels = decode_jpeg(data, mode=ImageReadMode.RGB)
                return F.interpolate(pixels[None], (size, size), mode="bilinear", antialias=True)[0]
        return pil_to_tensor(_upright_rgb(image).resize((size, size), Image.Resampling.BILINEAR))


def decode_unresized(encoded: bytes | None, channels: int, size: int) -> torch.Tensor:
    """uint8 [channels, size, size], 1 channel of grey or 3 of RGB, exactly as Pillow decodes it; otherwise like
    `decode`, and Undecodable for an image of another size."""
    mode = "L" if channels == 1 else "RGB"
    with _opened(encoded) as image:
        if image.size != (size, size):
            raise Undecodable(f"a picture of {image.width}×{image.height} pixels, not {size}×{size}")
        plain = image.mode == mode and not image.has_transparency_data and not image.getexif()
        return pil_to_tensor(image if plain else _upright_rgb(image).convert(mode))


@contextlib.contextmanager
def _opened(encoded):
    if not encoded:
        raise Undecodable("no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                  # about large images and odd EXIF
            yield Image.open(io.BytesIO(encoded), formats=FORMATS)               # reads the header alone
    except UnidentifiedImageError as error:                  # its message holds a memory address
        raise Undecodable("not an image of a known format") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise Undecodable(one_line(error)) from error


def _upright_rgb(image):
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise Undecodable("pixels that are fractions, of an unknown range")
    if image.mode.startswith("I"):                                               # 16 bits of grey
        if 0 < (grey := np.asarray(image, dtype=np.float32)).max() <= 255:
            raise Undecodable("16 bits that hold values of 8 bits")
        image = Image.fromarray((grey / 257).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
