"""Bytes of an image to pixels and back, guarded: a truncated file is found, a decompression bomb refused.

Pillow decodes a 256-pixel JPEG about a quarter slower than torchvision, but torchvision takes two seconds
more to import than a small training set takes to decode, and Pillow needs no torch in preprocess.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 64_000_000
"""Decoded these are 192 MB; no photograph of a data set needs more."""
MAX_BYTES = 64 << 20
"""A byte for each of the pixels: an encoded photograph has fewer."""
MAX_RATIO = 20
"""How many times longer than the other a side may be: a few bytes of a thin strip shrink to gigabytes."""

# Pillow only warns up to twice the limit; here the warning is an error.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# What thousands of damaged files raised: JPEG only OSError (UnidentifiedImageError is one), PNG all three.
_DAMAGE = (OSError, SyntaxError, ValueError)


class UnreadableImageError(Exception):
    """The bytes are not an image that can be used; the message says why."""


def decode(data: bytes) -> Image.Image:
    """Decode every pixel to RGB. Only load() finds a truncated file, verify() accepts it."""
    if len(data) > MAX_BYTES:
        raise UnreadableImageError(f"{len(data):,} bytes are more than the {MAX_BYTES:,} allowed")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if max(image.size) > MAX_RATIO * min(image.size):
            width, height = image.size
            raise UnreadableImageError(
                f"{width} x {height} pixels: one side is over {MAX_RATIO} times the other"
            )
        image.load()
        return image.convert("RGB")
    except (*_DAMAGE, *_BOMBS) as error:
        raise UnreadableImageError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not a {' or '.join(FORMATS)} image"
    return str(error)


def shrink(image: Image.Image, short_side: int) -> Image.Image:
    """Scale the full frame so that its short side has that many pixels; smaller images are enlarged."""
    scale = short_side / min(image.size)
    width, height = (max(short_side, round(side * scale)) for side in image.size)
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, quality: int) -> bytes:
    """Encode as a JPEG with nothing in it but the pixels, so that equal pixels give equal bytes."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=quality, comment=b"")  # else Pillow keeps the original's comment
    return output.getvalue()
