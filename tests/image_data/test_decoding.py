"""How bytes become pixels: as a viewer shows an image, in whatever format and way it is stored."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageChops, ImageStat, PngImagePlugin

from image_data.decoding import (
    MAX_BYTES,
    check,
    decode,
    decode_stored,
    encode,
    encode_exactly,
    shrink,
    shrunk,
)
from image_data.errors import UnreadableImageError
from tests.support.training.cub_layout import picture

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def corners(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Four colours, so that every turn and mirroring shows."""
    image = Image.new("RGB", size, WHITE)
    width, height = size[0] // 2, size[1] // 2
    for place, colour in (((0, 0), RED), ((width, 0), GREEN), ((0, height), (0, 0, 255))):
        image.paste(colour, (*place, place[0] + width, place[1] + height))
    return image


def near(found: object, expected: tuple[int, ...], by: int = 4) -> bool:
    assert isinstance(found, tuple)
    return all(abs(one - other) <= by for one, other in zip(found, expected, strict=True))


# --- formats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("MPO", {"quality": 95}),
    ],
)
def test_every_documented_format_is_read(kind: str, options: dict[str, object]) -> None:
    data = saved(corners(), kind, **options)
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (96, 64))
    assert near(image.getpixel((10, 10)), RED)
    assert near(image.getpixel((80, 10)), GREEN)
    assert check(data) == (96, 64)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_seen(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, WHITE)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(decode(data).getpixel((5, 5)), RED, 8)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (saved(Image.new("RGB", (8, 8)), "TIFF"), " but a TIFF image"),
        (b"\0\0\0\x18ftypheic" + bytes(40), " but a HEIC image or a video"),
        (b"<!doctype html>", " but a web page or an SVG drawing"),
        (b"%PDF-1.7", " but a PDF document"),
        (b"nothing known", ""),
    ],
)
def test_the_reason_says_what_a_file_is_instead(data: bytes, what: str) -> None:
    for reader in (decode, check):
        with pytest.raises(UnreadableImageError) as told:
            reader(data)
        assert str(told.value) == f"not a JPEG, PNG, WebP, GIF or BMP image{what}"
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        decode(b"")


# --- as a viewer shows it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_stands_upright_however_it_is_stored(kind: str, orientation: int) -> None:
    lying = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = corners().transpose(lying[orientation]) if orientation > 1 else corners()
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "somebody"
    exif[ExifTags.Base.Orientation] = orientation
    every: dict[str, dict[str, object]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "PNG": {}}
    options = every[kind]
    data = saved(stored, kind, exif=exif, **options)
    image = decode(data)
    assert image.size == (96, 64) == check(data)
    for place, colour in (((10, 10), RED), ((80, 10), GREEN), ((10, 50), (0, 0, 255)), ((80, 50), WHITE)):
        assert near(image.getpixel(place), colour)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda exif: exif[:7],
        lambda exif: exif[:4] + b"\xff\xff\xff\xff" + exif[8:],
        lambda exif: exif[:-3],
        lambda exif: b"??" + exif[2:],
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_data_turns_nothing_and_hides_no_image(
    order: str, damage: Callable[[bytes], bytes]
) -> None:
    exif = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1)
    exif += struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    stored = saved(corners(), "JPEG", exif=b"Exif\0\0" + exif)
    assert decode(stored).size == (64, 96)
    assert decode(saved(corners(), "JPEG", exif=b"Exif\0\0" + damage(exif))).size == (96, 64)


def test_transparent_parts_are_white_whatever_colour_hides_below() -> None:
    hidden = Image.new("RGBA", (8, 8), (*GREEN, 0))
    half = Image.new("RGBA", (8, 8), (*RED, 128))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert decode(saved(hidden, kind, **options)).getpixel((0, 0)) == WHITE
        assert near(decode(saved(half, kind, **options)).getpixel((0, 0)), (255, 127, 127), 1)
    grey = Image.new("LA", (8, 8), (0, 0))
    assert decode(saved(grey, "PNG")).getpixel((0, 0)) == WHITE


def test_a_palette_with_a_transparent_colour_is_white_there() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *GREEN, *(0,) * 762])
    image.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        seen = decode(saved(image, kind, transparency=1))
        assert (seen.getpixel((0, 0)), seen.getpixel((5, 5))) == (RED, WHITE)
    one = Image.new("RGB", (8, 8), GREEN)
    assert decode(saved(one, "PNG", transparency=GREEN)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(("value", "seen"), [(0, 0), (128, 0), (129, 1), (32_768, 128), (65_535, 255)])
def test_sixteen_bits_are_scaled_and_not_cut(value: int, seen: int) -> None:
    assert decode(saved(Image.new("I;16", (8, 8), value), "PNG")).getpixel((0, 0)) == (seen,) * 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_every_colour_mode_is_seen_in_its_colours(mode: str) -> None:
    white = Image.new("RGB", (16, 16), WHITE).convert(mode)
    assert near(decode(saved(white, "JPEG" if mode == "CMYK" else "PNG")).getpixel((3, 3)), WHITE)
    black = Image.new("RGB", (16, 16), (0, 0, 0)).convert(mode)
    assert near(decode(saved(black, "JPEG" if mode == "CMYK" else "PNG")).getpixel((3, 3)), (0, 0, 0))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_long_text_in_a_png_hides_nothing(compressed: bool) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", "x" * 3_000_000, zip=compressed)
    texts.add_itxt("about", "y" * 3_000_000, zip=compressed)
    data = saved(corners(), "PNG", pnginfo=texts, icc_profile=bytes(2_000_000))
    assert near(decode(data).getpixel((10, 10)), RED)
    assert check(data) == (96, 64)


# --- damaged and hostile -----------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_decompression_bomb_is_refused_unpacked() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 5_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    for reader in (decode, check):
        with pytest.raises(UnreadableImageError, match="more than the 64,000,000 pixels allowed"):
            reader(bomb)


def test_a_strip_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="4000 x 2 pixels: one side is over 20 times the other"):
        decode(picture(0, 0, (4000, 2)))


def test_more_bytes_than_an_image_has_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match="more than the"):
        decode(bytes(MAX_BYTES + 1))


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_no_truncated_file_is_taken_for_an_image(kind: str, kept: float) -> None:
    noise = Image.effect_noise((60, 60), 60).convert("RGB")
    data = saved(noise, kind)
    data = data[: int(kept * len(data)) if isinstance(kept, float) else kept]
    for reader in (decode, check):
        with pytest.raises(UnreadableImageError):
            reader(data)


@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]), st.data())
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_whatever_is_damaged_is_read_or_told(kind: str, data: st.DataObject) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = bytearray(
        saved(corners((24, 16)), kind, **({"exif": exif} if kind not in ("GIF", "BMP") else {}))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for reader in (decode, check):
        try:
            reader(bytes(content))
        except UnreadableImageError:
            continue  # and nothing else: a step counts these, and would end at any other


# --- what is stored ----------------------------------------------------------------------------------------


def test_what_is_stored_exactly_is_read_exactly_and_holds_nothing_else() -> None:
    image = decode(picture(0, 0))
    assert decode_stored(encode_exactly(image)).tobytes() == image.tobytes()
    assert decode_stored(encode(image, 90)).size == image.size
    with pytest.raises(UnreadableImageError):
        decode_stored(encode_exactly(image)[:-1])


@pytest.mark.parametrize(("size", "orientation"), [((1600, 1200), 1), ((1200, 1600), 6), ((500, 375), 1)])
def test_a_large_jpeg_is_decoded_in_part_and_looks_the_same(size: tuple[int, int], orientation: int) -> None:
    soft = Image.effect_noise((40, 30), 120).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = saved(soft, "JPEG", quality=90, exif=exif)
    found = shrunk(data, 128)
    expected = shrink(decode(data), 128)
    width, height = size
    assert found.original_size == ((height, width) if orientation == 6 else size) == check(data)
    assert found.image.size == expected.size
    difference = ImageStat.Stat(ImageChops.difference(found.image, expected))
    assert max(difference.mean) < 1  # of 255
    assert (difference.sum == [0, 0, 0]) == (size == (500, 375))


def test_a_truncated_jpeg_is_found_where_it_is_decoded_in_part() -> None:
    data = saved(corners((1600, 1200)), "JPEG")
    with pytest.raises(UnreadableImageError, match="truncated"):
        shrunk(data[:-100], 64)


def test_the_full_frame_is_scaled_by_its_short_side() -> None:
    assert shrink(corners((96, 64)), 32).size == (48, 32)
    assert shrink(corners((64, 96)), 128).size == (128, 192)
    same = corners((96, 64))
    assert shrink(same, 64) is same
