"""The model that answers is the model that was measured: serving and evaluation agree."""

from pathlib import Path

import pytest
import torch

from image_data.plan import Choice, make_plan
from tests.support.image_data.arrangements import Photos, as_class_folders
from tests.support.training.cub_layout import picture
from training import evaluate, preprocess
from training.artifact import ModelDescription
from training.data import Channel
from training.model import Classifier, load_pretrained
from training.paths import BASE_VARIABLE, Paths
from training.serving.predictor import Predictor

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos"
CLASSES = 5
DRAWN: Photos = {
    f"{label:03d}.class/{number}.jpg": picture(label, number, size)
    for label in range(CLASSES)
    for number, size in enumerate([(500, 375), (375, 500), (90, 61), (1600, 1300), (320, 366)])
}


def model(size: int) -> tuple[Classifier, ModelDescription]:
    """Return a network that tells its images apart by weights that nobody trained."""
    torch.manual_seed(size)
    classifier = Classifier("efficientnet_lite0", CLASSES, 0.2).eval()
    load_pretrained(classifier, "efficientnet_lite0", Path())
    torch.nn.init.normal_(classifier.head_parameters()["head.1.weight"], std=0.05)
    form = classifier.input_format
    return classifier, ModelDescription(
        backbone="efficientnet_lite0",
        image_size=size,
        classes=[{"label": number, "class_id": number, "name": str(number)} for number in range(CLASSES)],
        mean=list(form.mean),
        std=list(form.std),
        interpolation=form.interpolation,
        crop_fraction=form.crop_fraction,
        dropout=0.2,
        data_digest="",
        hyper_parameters={},
        torch="",
        torchvision="",
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 224, 320])
@pytest.mark.parametrize("photographs", [False, True], ids=["drawings", "photographs"])
def test_serving_and_evaluation_agree_on_every_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, photographs: bool
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
    classifier, description = model(size)
    test = Channel(paths.processing_output("test"))
    measured = evaluate.predict(classifier, description, test).softmax(1)
    plan = make_plan(data, Choice(test_share=0.5))
    originals = {image.name: content for image, content in plan.data.read(plan.images)}
    predictor = Predictor(classifier, description)
    assert len(test) >= 10
    for position, entry in enumerate(test.entries):
        (answer,) = predictor.classify([predictor.prepare(originals[entry.name])])
        for each in answer:
            assert each["probability"] == pytest.approx(float(measured[position][each["class_id"]]), abs=1e-3)
    assert measured.max(1).values.std() > 0.01, "a network that says the same of everything agrees with all"
