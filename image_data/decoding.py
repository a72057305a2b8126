"""Bytes of an image to pixels and back: what Preprocess, evaluation and serving see is the same.

An image is seen as a viewer shows it: turned by its EXIF orientation, transparent parts over white, 16 bits
scaled to 8, the first frame of an animation. Colour profiles are not applied. A truncated file is found and a
decompression bomb refused.

Pillow decodes a 256-pixel JPEG about a quarter slower than torchvision, but torchvision takes two seconds
more to import than a small training set takes to decode, and Pillow needs no torch in Preprocess.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from image_data.errors import UnreadableImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of what is read; of GIF and animated WebP the first frame."""
FORMATS_IN_WORDS = "JPEG, PNG, WebP, GIF or BMP"
STORED = "PPM"
"""Pillow's name of plain pixels, as shards hold what is only measured; nobody uploads them."""
MAX_PIXELS = 64_000_000
"""Decoded these are 192 MB; no photograph of a data set needs more."""
MAX_BYTES = 64 << 20
"""A byte for each of the pixels: an encoded photograph has fewer."""
MAX_RATIO = 20
"""How many times longer than the other a side may be: a few bytes of a thin strip shrink to gigabytes."""

# Pillow only warns up to twice the limit; here the warning is an error.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Pillow reads all of a JPEG's EXIF data to learn its resolution, and warns of what is damaged in it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# What thousands of damaged files raised: JPEG only OSError (UnidentifiedImageError is one), PNG all three.
_DAMAGE = (OSError, SyntaxError, ValueError)

_STRIP = 256  # rows
REDUCING_GAP = 2
"""How many times larger than needed a JPEG is decoded at least: what Pillow's thumbnails take, too."""

_PNG = b"\x89PNG\r\n\x1a\n"
# What is written about a picture: Pillow refuses to unpack long ones, and nobody needs them.
_PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
# Where a file of another kind says what it is: (offset, bytes, name).
_OTHERS = (
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyp", "a HEIC image or a video"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<", "a web page or an SVG drawing"),
)


def decode(data: bytes) -> Image.Image:
    """Decode every pixel to RGB, as a viewer shows the image.

    Raises:
        UnreadableImageError: The bytes are no whole image of a format that is read, or one too large.
    """
    # Only load() finds a truncated file, verify() accepts it.
    try:
        return _as_shown(_loaded(data))
    except (*_DAMAGE, *_BOMBS) as error:
        raise UnreadableImageError(_reason(error, data)) from error


@dataclass(frozen=True)
class Shrunk:
    """An image of a short side that was asked for, and the size in pixels that it had before, as shown."""

    image: Image.Image
    original_size: tuple[int, int]


def shrunk(data: bytes, short_side: int) -> Shrunk:
    """Decode an image and scale its full frame; what is much too large is not decoded in full.

    A JPEG is decoded at a half, a quarter or an eighth of its size as long as that leaves twice of what is
    needed, which costs a fraction of the time and of the memory, and no quality that can be seen.

    Raises:
        UnreadableImageError: As for `decode`.
    """
    try:
        size = _as_shown_size(_open(data, FORMATS))
        return Shrunk(shrink(_as_shown(_loaded(data, short_side)), short_side), size)
    except (*_DAMAGE, *_BOMBS) as error:
        raise UnreadableImageError(_reason(error, data)) from error


def check(data: bytes) -> tuple[int, int]:
    """Read an image to its end without keeping it, faster than `decode`; its size in pixels as shown.

    Raises:
        UnreadableImageError: As for `decode`.
    """
    try:
        image = _open(data, FORMATS)
        size = _as_shown_size(image)
        image.draft("RGB", (1, 1))  # a JPEG at an eighth of its size: all its bytes are read all the same
        image.load()
    except (*_DAMAGE, *_BOMBS) as error:
        raise UnreadableImageError(_reason(error, data)) from error
    return size


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


def encode_exactly(image: Image.Image) -> bytes:
    """Write the pixels as they are, which costs 3 bytes for each and no time."""
    output = io.BytesIO()
    image.save(output, STORED)
    return output.getvalue()


def decode_stored(data: bytes) -> Image.Image:
    """Decode what `encode` or `encode_exactly` wrote.

    Raises:
        UnreadableImageError: The bytes are damaged.
    """
    try:
        image = _open(data, ("JPEG", STORED))
        image.load()
    except (*_DAMAGE, *_BOMBS) as error:
        raise UnreadableImageError(_reason(error, data)) from error
    return image if image.mode == "RGB" else image.convert("RGB")


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    if len(data) > MAX_BYTES:
        raise UnreadableImageError(f"{len(data):,} bytes are more than the {MAX_BYTES:,} allowed")
    if data.startswith(_PNG):
        data = _without_texts(data)
    image: Image.Image = Image.open(io.BytesIO(data), formats=formats)
    if max(image.size) > MAX_RATIO * min(image.size):
        width, height = image.size
        raise UnreadableImageError(f"{width} x {height} pixels: one side is over {MAX_RATIO} times the other")
    return image


def _loaded(data: bytes, short_side: int | None = None) -> Image.Image:
    image = _open(data, FORMATS)
    if short_side:
        image.draft(None, (REDUCING_GAP * short_side,) * 2)
    image.load()
    return image


def _without_texts(data: bytes) -> bytes:
    """Take a PNG's texts and colour profile out, chunk by chunk up to its end or to what is no chunk."""
    kept, place = [data[: len(_PNG)]], len(_PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        following = place + 12 + length  # length, kind, content, checksum
        if kind not in _PNG_TEXTS:
            kept.append(data[place:following])
        place = following
    return b"".join([*kept, data[place:]])


def _as_shown(image: Image.Image) -> Image.Image:
    # Each step lets go of what the step before made: a pixel takes 4 bytes every time.
    turn = _TURNS.get(_orientation(image))
    if image.mode.startswith("I"):
        # 16 bits of grey: 65,535 becomes 255, where Pillow alone would cut everything above 255.
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    elif image.has_transparency_data:
        image = _over_white(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _over_white(image: Image.Image) -> Image.Image:
    """Lay an image over white, strip by strip: all of it at once would be in memory four times."""
    shown = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        shown.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return shown


def _as_shown_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)


# What undoes each of EXIF's orientations but 1, which is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG, _SHORT = 0x0112, 3


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 where there is none that can be read.

    Read here and not by Pillow, which warns about every other tag that is damaged.
    """
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 10:
        return 1
    (first,) = struct.unpack_from(f"{order}I", exif, 4)
    if first + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(f"{order}H", exif, first)
    for place in range(first + 2, min(first + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _count, value = struct.unpack_from(f"{order}HHIH", exif, place)
        if (tag, kind) == (_ORIENTATION_TAG, _SHORT):
            return int(value)
    return 1


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, _BOMBS):
        return f"more than the {MAX_PIXELS:,} pixels allowed"
    if not isinstance(error, UnidentifiedImageError):
        return str(error)
    if not data:
        return "the file is empty"
    name = next((name for place, start, name in _OTHERS if data[place:].startswith(start)), "")
    return f"not a {FORMATS_IN_WORDS} image" + (f" but {name}" if name else "")
