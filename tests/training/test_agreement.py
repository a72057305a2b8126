"""The model that answers is the model that was measured: serving and evaluation agree."""

import io
import itertools
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image

from image_data.plan import Choice, make_plan
from tests.support.image_data.arrangements import Photos, as_class_folders
from tests.support.soak import SOAKING
from tests.support.training.cub_layout import picture
from tests.support.training.models import description
from training import evaluate, preprocess
from training.artifact import ModelDescription
from training.calibration import tempered
from training.data import Channel, batches_of
from training.model import Classifier
from training.paths import BASE_VARIABLE, Paths
from training.serving.predictor import Predictor

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos"
CLASSES = 5
SIZES = (128, 224, 320)
DRAWN: Photos = {
    f"{label:03d}.class/{number}.jpg": picture(label, number, size)
    for label in range(CLASSES)
    for number, size in enumerate([(500, 375), (375, 500), (90, 61), (1600, 1300), (320, 366)])
}


def model(size: int) -> tuple[Classifier, ModelDescription]:
    """Return a network that tells its images apart by weights that nobody trained."""
    torch.manual_seed(size)
    classifier = Classifier("efficientnet_lite0", CLASSES, 0.2).eval()
    classifier.load_pretrained(Path())
    torch.nn.init.normal_(classifier.head_parameters()["head.1.weight"], std=0.05)
    return classifier, description([str(number) for number in range(CLASSES)], size, temperature=1.5)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(
    ("photographs", "size"),
    [
        *((False, size) for size in SIZES),
        *((True, size) for size in SIZES if SOAKING or size == 224),
    ],
    ids=lambda value: ["drawings", "photographs"][value] if isinstance(value, bool) else value,
)
def test_serving_and_evaluation_agree_on_every_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: bool, size: int
) -> None:
    if photographs and not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs on this machine")
    paths = Paths(tmp_path)
    data = paths.processing_input("data")
    data.parent.mkdir(parents=True)
    if photographs:
        data.symlink_to(PHOTOGRAPHS)
    else:
        as_class_folders(data, DRAWN, {}, {})
    monkeypatch.setenv(BASE_VARIABLE, str(tmp_path))
    assert preprocess.main(["--image-size", str(size), "--test-share", "0.5"]) == 0
    classifier, described = model(size)
    test = Channel(paths.processing_output("test"))
    measured = tempered(evaluate.predict(classifier, described, test), described.temperature).softmax(1)
    plan = make_plan(data, Choice(test_share=0.5))
    originals = {image.name: content for image, content in plan.data.read(plan.images)}
    predictor = Predictor(classifier, described)
    assert len(test) >= 10
    for positions in batches_of(range(len(test)), 16):
        images = [predictor.prepare(originals[test.entries[position].name]) for position in positions]
        for position, answer in zip(positions, predictor.classify(images), strict=True):
            for each in answer:
                found = float(measured[position][int(each["class"])])
                assert each["probability"] == pytest.approx(found, abs=1e-3)
    assert measured.max(1).values.std() > 0.01, "a network that says the same of everything agrees with all"


TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""What was done to the pixels that a viewer of each EXIF orientation turns back."""


def lossless(content: bytes, orientation: int | None) -> bytes:
    """Write an image as PNG, lying as a camera leaves it that says by EXIF how to turn it."""
    image: Image.Image = Image.open(io.BytesIO(content))
    exif, file = Image.Exif(), io.BytesIO()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
        image = image.transpose(TURNS[orientation])
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.slow
def test_images_turned_by_exif_score_what_the_straight_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, described = model(64)
    logits, digests = [], []
    for kind, orientations in (("straight", [None]), ("turned", [None, *TURNS])):
        paths = Paths(tmp_path / kind)
        turns = zip(DRAWN.items(), itertools.cycle(orientations))
        photos = {name: lossless(content, orientation) for (name, content), orientation in turns}
        as_class_folders(paths.processing_input("data"), photos, {}, {})
        monkeypatch.setenv(BASE_VARIABLE, str(paths.base))
        assert preprocess.main(["--image-size", "64", "--test-share", "0.5"]) == 0
        test = Channel(paths.processing_output("test"))
        logits.append(evaluate.predict(classifier, described, test))
        digests.append(test.digest)
    straight, turned = logits
    # The score is made of these, and they tell more: the images have hardly a direction.
    assert torch.equal(turned, straight)
    assert digests[0] != digests[1], "nothing was turned"
