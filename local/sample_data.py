"""Sample data without a download: simple birds of eight classes, drawn by this program.

    python -m local.sample_data DIR        # DIR/images, DIR/images.txt, ..., and DIR/drawn-birds.tgz

The folder has the layout of CUB-200-2011 with the same class numbers and names, so everything that reads the
one reads the other. The pictures are drawings, and say so: in README.txt, in their EXIF data and in a JPEG
comment. An accuracy reached on them says nothing about photographs.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import PIL
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageFilter, ImageOps

SEED = 7
"""Any number would do: every machine draws the same pictures."""
IMAGES_PER_CLASS = 60  # as many as CUB has; half of them are to train with
ARCHIVE_NAME, ARCHIVE_ROOT = "drawn-birds.tgz", "drawn-birds"
TABLES = ("images", "image_class_labels", "train_test_split", "bounding_boxes")
COMMENT = "drawing: made by a program (python -m local.sample_data), not a photograph"
README = """These pictures are DRAWINGS made by a program, not photographs of birds.

They stand in for eight classes of CUB-200-2011 where that cannot be downloaded, with its layout, numbers and
names. Every image says so in its EXIF data (ImageDescription) and in a JPEG comment. They are there to show
that a pipeline works; an accuracy reached on them says nothing about photographs.

Made by python -m local.sample_data: {} images a class, seed {}. Free to use under the project's licence.
"""

Colour = tuple[int, int, int]
Rng = np.random.Generator
# The corners of an outline as x + y·1j, so that a product turns and scales it and a sum moves it. The unit is
# the length of a bird's body, and on its head the head's radius; x runs to the bill, y down.
Shape = NDArray[np.complex128]


def _oval(x: float, y: float, width: float, height: float) -> Shape:
    """Return an ellipse around (x, y) with these half axes."""
    angles = np.linspace(0, 2 * np.pi, 40)
    return np.asarray(x + 1j * y + width * np.cos(angles) + 1j * height * np.sin(angles))


def _bars(first: float, last: float, count: int, width: float) -> list[Shape]:
    """Return upright stripes beside each other, long enough to cross any part."""
    return [_oval(float(x), 0, width, 0.6) for x in np.linspace(first, last, count)]


@dataclass(frozen=True)
class Species:
    """One class: its number and name in CUB-200-2011, its colours, its marks and its proportions."""

    class_id: int
    name: str
    body: Colour
    head: Colour
    wing: Colour
    marks: tuple[tuple[str, list[Shape], Colour], ...]  # each on a part, at whose edge it ends
    bill: tuple[float, float, float] = (0.6, 0.05, 0.5)  # its length, its tip's and its base's half height
    bill_colour: Colour = (90, 84, 84)
    tail: float = 0.5
    crest: float = 0.8  # lower than the head's top: none
    neck: complex = 0.43 - 0.25j

    @property
    def folder(self) -> str:
        """Return the name as CUB writes it: `047.American_Goldfinch`."""
        return f"{self.class_id:03d}.{self.name}"


# fmt: off
BLACK, WHITE, BROWN = (34, 32, 36), (236, 234, 228), (122, 98, 72)
SPOTS = [_oval(x + y % 0.1, y, 0.02, 0.02) for x in np.arange(-4, 5) / 10 for y in np.arange(5) / 14]
BELLY, BREAST, RUMP = _oval(0.05, 0.24, 0.52, 0.2), _oval(0.45, 0.05, 0.24, 0.3), _oval(-0.45, 0, 0.16, 0.4)
CAP, NAPE, FACE = _oval(0.35, -0.85, 0.8, 0.6), _oval(-0.85, -0.15, 0.6, 0.8), _oval(0.85, 0.25, 0.5, 0.6)
CHEEK, THROAT, BIB = _oval(0.5, 0.5, 0.7, 0.6), _oval(0.3, 0.8, 0.8, 0.5), _oval(0.42, 0, 0.12, 0.1)

SPECIES = (
    Species(13, "Bobolink", BLACK, BLACK, (58, 48, 42), (
        ("head", [NAPE], (228, 200, 120)), ("wing", [_oval(0, -0.05, 0.22, 0.08)], WHITE),
        ("body", [RUMP], WHITE))),
    Species(17, "Cardinal", (196, 44, 42), (206, 40, 40), (150, 48, 48), (
        ("head", [FACE], BLACK),), bill_colour=(228, 104, 60), tail=0.75, crest=1.9),
    Species(35, "Purple_Finch", (186, 74, 96), (176, 50, 82), (128, 86, 78), (
        ("body", [BELLY], (214, 190, 186)), ("body", SPOTS, (128, 78, 80)),
        ("wing", _bars(-0.3, -0.1, 2, 0.02), (196, 140, 140)))),
    Species(36, "Northern_Flicker", (204, 182, 148), (172, 136, 104), (138, 110, 84), (
        ("body", [*SPOTS, BIB], BLACK), ("head", [_oval(-0.9, -0.1, 0.4, 0.45)], (200, 36, 40)),
        ("wing", _bars(-0.5, 0.1, 7, 0.014), BLACK)), bill=(1.2, 0.08, 0.35)),
    Species(47, "American_Goldfinch", (232, 200, 54), (236, 204, 50), BLACK, (
        ("head", [CAP], BLACK), ("wing", _bars(-0.35, -0.1, 2, 0.025), WHITE), ("body", [RUMP], WHITE)),
        bill_colour=(226, 146, 84), tail=0.4),
    Species(68, "Ruby_throated_Hummingbird", (66, 138, 84), (60, 132, 82), (110, 112, 112), (
        ("body", [BELLY], (214, 214, 204)), ("head", [THROAT], (188, 28, 60))),
        bill=(2.4, 0.06, 0.16), tail=0.35),
    Species(73, "Blue_Jay", (96, 128, 190), (88, 122, 192), (66, 104, 184), (
        ("body", [BELLY, BREAST], (222, 222, 222)), ("head", [CHEEK], WHITE),
        ("neck", _bars(-0.06, 0, 2, 0.03), BLACK), ("wing", _bars(-0.5, -0.2, 4, 0.016), BLACK)),
        bill=(0.8, 0.06, 0.4), bill_colour=BLACK, tail=0.75, crest=1.65),
    Species(87, "Mallard", (168, 164, 160), (40, 112, 74), (132, 124, 116), (
        ("body", [BREAST], (112, 72, 52)), ("body", [RUMP], BLACK), ("neck", _bars(0, 0, 1, 0.04), WHITE),
        ("wing", [_oval(-0.3, 0.04, 0.14, 0.05)], (62, 82, 178))),
        bill=(1.1, 0.3, 0.4), bill_colour=(214, 186, 64), tail=0.25, neck=0.5 - 0.42j),
)
"""The eight classes that the README chooses of CUB-200-2011, in the order of their numbers."""

# What is behind a bird, above and below. Each class is seen before all of them: they do not give it away.
SCENES: tuple[tuple[Colour, Colour], ...] = (
    ((164, 198, 226), (214, 226, 232)), ((70, 98, 62), (112, 138, 84)), ((154, 160, 104), (118, 138, 62)),
    ((202, 206, 214), (232, 234, 238)), ((150, 112, 76), (104, 84, 60)), ((92, 122, 138), (132, 156, 164)),
)
# fmt: on

TAIL = np.array([0.1 - 0.1j, -1 - 0.05j, -0.9, -1 + 0.1j, 0.1 + 0.14j])
WING = _oval(-0.22, 0, 0.4, 0.08)
WING.imag *= 2.05 + 2.5 * WING.real  # narrow at its end
LEG = _oval(0, 0.36, 0.014, 0.26)


def _shade(colour: ArrayLike, light: float = 1.0) -> Colour:
    red, green, blue = np.clip(np.multiply(colour, light), 0, 255).astype(int).tolist()
    return red, green, blue


def _fill(picture: Image.Image, shape: Shape, colour: Colour | int) -> None:
    ImageDraw.Draw(picture).polygon([(corner.real, corner.imag) for corner in shape.tolist()], colour)


def _bird(species: Species, unit: float, rng: Rng) -> Image.Image:
    """Return a bird with its body in the middle of a transparent picture and its feet 0.62 units below."""
    tilt, tail, nod, wing = np.exp(-1j * np.radians(rng.normal((16, 0, 0, 0), (14, 10, 10, 6))))
    wing = np.exp(1j * np.radians(rng.uniform(45, 120))) if rng.random() < 0.25 else wing  # some raise it
    neck = species.neck + complex(*rng.normal(0, 0.025, 2))
    reach, head, shoulder = neck - (0.33 - 0.06j), (neck, 0.2 * nod), (0.2 - 0.07j, wing)
    throat = _oval(0, 0, abs(reach) / 2 + 0.12, 0.16)
    length, tip, base = species.bill
    end = 0.9 + length + 0.2j
    bill = np.array([0.7 - 0.7j * base, end - 1j * tip, end + 1j * tip, 0.7 + 1j * base])
    parts: list[tuple[str, Colour, tuple[complex, complex], Shape]] = [  # from back to front
        ("leg", BROWN, (-0.06, 1 / tilt), LEG),
        ("leg", BROWN, (0.09, 1 / tilt), LEG),
        ("tail", species.wing, (-0.42, tail), TAIL.real * species.tail + 1j * TAIL.imag),
        ("body", species.body, (0, 1), _oval(0, 0, 0.5, 0.29)),
        ("neck", species.head, (neck - reach / 2, reach / abs(reach)), throat),
        ("crest", species.head, head, np.array([0.5 - 0.8j, -0.6 - 1j * species.crest, -0.95 - 0.1j])),
        ("bill", species.bill_colour, head, bill),
        ("head", species.head, head, _oval(0, 0, 1, 0.95)),
        ("eye", BLACK, head, _oval(0.38, -0.2, 0.2, 0.2)),
        ("shadow", _shade(species.wing, 0.6), shoulder, WING * 1.06),
        ("wing", species.wing, shoulder, WING),
    ]
    # Females and young birds have a male's marks in paler colours: there the classes come close together.
    dull, tint = 0.75 * rng.beta(1.1, 1.9), rng.normal(0, 9, 3)
    size = round(6 * unit), round(5.2 * unit)  # of twice the bird, so that edges get smooth
    picture, alpha = Image.new("RGB", size), Image.new("L", size)
    for part, colour, (joint, turn), outline in parts:
        at, scale = unit * (3 + 2.6j + 2 * tilt * joint), 2 * unit * tilt * turn
        cut = Image.new("L", size)
        for mask in (cut, alpha):
            _fill(mask, at + scale * outline, 255)
        box = cut.getbbox()
        for where, shapes, paint in ((part, [outline], colour), *species.marks):
            if where == part:
                mark = Image.new("L", size)
                for shape in shapes:
                    _fill(mark, at + scale * shape, 255)
                tone = _shade(np.array(paint) * (1 - dull) + np.array(BROWN) * dull + tint)
                picture.paste(tone, box, ImageChops.darker(mark, cut).crop(box))
    alpha = alpha.reduce(2)
    depth = alpha.filter(ImageFilter.BoxBlur(0.15 * unit))  # a bird is round: darker to its edges
    depth = ImageChops.offset(depth, round(unit * rng.uniform(-0.07, 0.07)), -round(0.09 * unit))
    light = 0.5 + np.asarray(depth, np.float32)[..., None] / 460
    light += 0.07 * rng.standard_normal(light.shape, np.float32)  # feathers
    lit = np.clip(np.asarray(picture.reduce(2)) * light, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([lit, np.asarray(alpha)]))


def _blots(picture: Image.Image, count: int, size: float, colours: list[Colour], rng: Rng) -> None:
    """Paint `count` ovals of these colours anywhere: leaves, flowers, light between twigs."""
    for _ in range(count):
        turn = size * rng.uniform(0.15, 1) * np.exp(1j * rng.uniform(0, 7))
        shape = complex(*rng.uniform(0, picture.size)) + turn * _oval(0, 0, 1, rng.uniform(0.3, 1))
        _fill(picture, shape, _shade(colours[int(rng.integers(len(colours)))], rng.uniform(0.7, 1.25)))


def draw(species: Species, rng: Rng) -> tuple[Image.Image, list[int]]:
    """Return a picture with a bird of `species`, and the bird's box in it: x, y, width, height in pixels."""
    width, height = (300, 400) if rng.random() < 0.2 else (400, 300)  # Preprocess keeps 256 of the short side
    scene, other = (SCENES[index] for index in rng.integers(len(SCENES), size=2))
    down = np.linspace(0, 1, height // 2)[:, None, None]  # what gets blurred is drawn at half its size
    ground = np.tile((1 - down) * np.array(scene[0]) + down * np.array(scene[1]), (1, width // 2, 1))
    picture = Image.fromarray(ground.astype(np.uint8))
    _blots(picture, int(rng.integers(15, 60)), 35, [*scene, other[0]], rng)
    _blots(picture, int(rng.integers(12)), 10, [each.body for each in SPECIES], rng)  # they mislead
    picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(1.5, 6.5))).resize((width, height))
    unit = min(width, height) * rng.uniform(0.16, 0.46)  # far, or so near that the tail may be cut off
    bird = _bird(species, unit, rng)
    bird = ImageOps.mirror(bird) if rng.random() < 0.5 else bird
    x, y = (int(side * (0.5 + rng.normal(0, 0.07))) for side in (width, height))
    slope, thick = 1 + 0.15j * rng.uniform(-1, 1), unit * rng.uniform(0.03, 0.1)
    perch = complex(x, y + 0.6 * unit + thick) + slope * _oval(0, 0, 3 * width, thick)
    _fill(picture, perch, _shade(BROWN, rng.uniform(0.5, 1.1)))
    left, top = x - bird.width // 2, y - bird.height // 2
    picture.paste(bird, (left, top), bird)
    _blots(picture, int(rng.integers(7)), 24, [*scene], rng)  # in front of the bird, if they hit it
    corners = np.reshape(bird.getchannel("A").getbbox() or (0, 0, *bird.size), (2, 2)) + np.array([left, top])
    low, high = np.clip(corners, 0, (width, height))
    cast = (rng.uniform(0.7, 1.2) * rng.normal(1, 0.04, 3)).astype(np.float32)  # exposure and white balance
    noise = rng.uniform(2, 8) * rng.standard_normal((height, width, 1), np.float32)
    pixels = np.asarray(picture.filter(ImageFilter.BoxBlur(rng.uniform(0, 1)))) * cast + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), [*low.tolist(), *(high - low).tolist()]


def generate(directory: Path, *, images_per_class: int = IMAGES_PER_CLASS, seed: int = SEED) -> Path:
    """Write the data set into `directory`, which is made if need be, and return it.

    The same seed and versions of Pillow and numpy give the same bytes. Files of the same names are replaced.
    """
    if images_per_class < 2:
        raise ValueError(f"images_per_class must be at least 2, to train and to test, not {images_per_class}")
    tables = {"classes": [f"{one.class_id} {one.folder}" for one in SPECIES], **{each: [] for each in TABLES}}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = COMMENT
    for number in range(len(SPECIES) * images_per_class):
        species, index = SPECIES[number // images_per_class], number % images_per_class
        picture, box = draw(species, np.random.default_rng([seed, species.class_id, index]))
        name = f"{species.folder}/{species.name}_{index + 1:04d}_drawing.jpg"
        path = directory / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "JPEG", quality=90, exif=exif, comment=COMMENT)
        edges = " ".join(f"{edge:.1f}" for edge in box)
        for table, entry in zip(TABLES, (name, species.class_id, 1 - index % 2, edges), strict=True):
            tables[table].append(f"{number + 1} {entry}")
    for table, lines in tables.items():
        (directory / f"{table}.txt").write_text("\n".join([*lines, ""]), "ascii", newline="\n")
    (directory / "README.txt").write_text(README.format(images_per_class, seed), "ascii", newline="\n")
    return directory


def write_archive(directory: Path) -> Path:
    """Pack a generated data set as drawn-birds.tgz beside its files; the same files give the same bytes.

    What images.txt does not list stays out. The archive appears whole or not at all.
    """
    names = [line.split()[1] for line in (directory / "images.txt").read_text("ascii").splitlines()]
    files = sorted([*directory.glob("*.txt"), *(directory / "images" / name for name in names)])
    with tempfile.TemporaryDirectory(prefix=".", dir=directory) as beside:
        partial = Path(beside) / ARCHIVE_NAME
        with partial.open("wb") as raw:
            with (
                gzip.GzipFile("", "wb", 1, raw, mtime=0) as zipped,  # level 1: JPEGs do not get smaller
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
            ):
                for file in files:
                    member = tarfile.TarInfo(f"{ARCHIVE_ROOT}/{file.relative_to(directory).as_posix()}")
                    member.size, member.mode = file.stat().st_size, 0o644
                    with file.open("rb") as content:
                        archive.addfile(member, content)
            os.fsync(raw.fileno())  # else a power cut could leave the name without the bytes
        return partial.replace(directory / ARCHIVE_NAME)


def cached_archive(folder: Path, announce: Callable[[], None] = lambda: None) -> Path:
    """Return the default data set's archive in `folder`, drawn (after `announce`) unless it is there.

    Its path depends on all that decides about the pixels: this module's bytes and the versions of Pillow and
    numpy. Two processes may draw at once, and one may be interrupted: each draws in a folder of its own.
    """
    drawn_by = hashlib.sha256(Path(__file__).read_bytes() + f"{PIL.__version__} {np.__version__}".encode())
    archive = folder / drawn_by.hexdigest()[:16] / ARCHIVE_NAME
    if not archive.exists():
        announce()
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as own:
            write_archive(generate(Path(own))).replace(archive)
    return archive


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--images-per-class", default=IMAGES_PER_CLASS, show_default=True, type=click.IntRange(2))
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0))
def main(directory: Path, images_per_class: int, seed: int) -> None:
    """Draw the sample data into DIRECTORY, in CUB's layout, and pack it as drawn-birds.tgz there."""
    archive = write_archive(generate(directory, images_per_class=images_per_class, seed=seed))
    print(f"{images_per_class * len(SPECIES)} drawings of {len(SPECIES)} classes: {directory}, {archive}")


if __name__ == "__main__":
    main()
