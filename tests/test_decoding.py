import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import jpeg

from t2i_helpers.data.decoding import Undecodable, decode


def picture(height=90, width=70, seed=0):
    """uint8 [height, width, 3]: smooth colours with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [128 + 90 * np.sin(7 * x + channel + 5 * y * y) for channel in range(3)]
    return (np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def levels(encoded, size=32):
    return decode(encoded, size).permute(1, 2, 0).numpy().astype(int)


def difference(encoded, reference=None):
    """Grey levels between our decoder and full decoding and resizing by Pillow, of `reference` or the same bytes."""
    with Image.open(io.BytesIO(reference or encoded)) as image:
        return np.abs(levels(encoded) - np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)))


@given(st.integers(33, 400), st.integers(33, 400), st.integers(60, 98), st.sampled_from([0, 1, 2]), st.booleans())
def test_jpegs_are_within_one_level_of_pillow_s_on_average_and_two_at_most(height, width, quality, chroma, progressive):
    encoded = jpeg(picture(height, width), quality=quality, subsampling=chroma, progressive=progressive)
    assert difference(encoded).mean() <= 1 and difference(encoded).max() <= 2


@pytest.mark.parametrize("mode, kind", [("L", "JPEG"), ("CMYK", "JPEG"), *(
    ("RGB", kind) for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF"))])
def test_other_colours_and_formats_become_rgb(mode, kind):
    encoded = saved(Image.fromarray(picture()).convert(mode), kind)
    assert difference(encoded).max() <= 2 and (mode != "L" or np.ptp(levels(encoded), axis=-1).max() == 0)


def test_a_palette_keeps_its_colours_16_bits_their_brightness_and_what_is_transparent_is_white():
    reduced = Image.fromarray(picture()).quantize(16)
    assert difference(saved(reduced, "PNG"), saved(reduced.convert("RGB"), "PNG")).max() <= 1
    grey = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 64, 0)
    assert np.abs(levels(saved(Image.fromarray(grey), "PNG"), 64)[0, :, 0] - grey[0] / 257).max() <= 1
    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:10] = (200, 0, 0, 255)
    pixels = levels(saved(Image.fromarray(clear), "PNG"), 20)
    assert (pixels[2] == (200, 0, 0)).all() and (pixels[17] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_s_picture_stands_upright(orientation):
    upright = Image.fromarray(picture(64, 64))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}            # EXIF's number to the transposition it undoes
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = levels(jpeg(stored, quality=98, subsampling=0, exif=exif))
    assert np.abs(pixels - levels(jpeg(upright, quality=98, subsampling=0))).mean() < 2


@pytest.mark.parametrize("encoded, reason", [
    (None, "no bytes"), (b"", "no bytes"), (b"<svg></svg>", "not an image of a known format"),
    (jpeg(picture())[:700], "truncated"), (jpeg(picture())[:200], "Truncated"),
    (saved(Image.fromarray(picture()), "PNG")[:900], "truncated"),
    (saved(Image.new("1", (20_000, 20_000)), "PNG"), "decompression bomb"),        # 400 million pixels in few bytes
])
def test_what_cannot_be_decoded_says_why(encoded, reason):
    with pytest.raises(Undecodable) as caught:
        decode(encoded, 32)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
