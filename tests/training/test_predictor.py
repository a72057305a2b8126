"""An image becomes the same pixels, and the same answer, as a plain computation gives."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.training.models import description
from training.model import Classifier
from training.serving.predictor import Predictor

pytestmark = pytest.mark.slow

SIZES = (128, 224, 320)


def drawing(width: int, height: int) -> Image.Image:
    """Draw colours with some grain."""
    random = np.random.default_rng((width, height))
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((width, height))
    return Image.fromarray(np.asarray(coarse) // 2 + random.integers(0, 128, (height, width, 3), np.uint8))


IMAGES = [drawing(500, 375), drawing(333, 500), drawing(90, 61), drawing(1200, 160), drawing(256, 256)]


def middle(image: Image.Image, size: int, fraction: float) -> torch.Tensor:
    """Scale an image by its short side and cut its middle out, step by step."""
    scale = round(size / fraction) / min(image.size)
    width, height = (max(round(size / fraction), round(side * scale)) for side in image.size)
    whole = np.array(image.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - size) // 2, (width - size) // 2
    return torch.from_numpy(whole[top : top + size, left : left + size]).permute(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
def test_serving_answers_what_the_network_gives_by_what_model_json_says(size: int) -> None:
    torch.manual_seed(size)
    classifier = Classifier("efficientnet_lite0", 6, 0.2).eval()
    classifier.load_pretrained(Path())
    for parameter in classifier.head_parameters().values():
        torch.nn.init.normal_(parameter, std=0.05)
    mean, std, fraction = [0.4, 0.5, 0.6], [0.3, 0.25, 0.2], 0.9
    names = [str(number) for number in range(6)]
    described = description(names, size, mean=mean, std=std, crop_fraction=fraction)
    described.classes.reverse()
    predictor = Predictor(classifier, described)
    files = [io.BytesIO() for _ in IMAGES]
    for image, file in zip(IMAGES, files, strict=True):
        image.save(file, "PNG")
    answers = predictor.classify([predictor.prepare(file.getvalue()) for file in files])
    for image, answer in zip(IMAGES, answers, strict=True):
        pixels = middle(image, size, fraction)[None].double() / 255
        average, deviation = (torch.tensor([[values]]).double().permute(2, 0, 1) for values in (mean, std))
        with torch.inference_mode():
            logits = classifier.double()((pixels - average) / deviation)
        expected = logits.softmax(1)[0]
        assert len(answer) == 5
        assert answer[0]["class_id"] == int(expected.argmax()) + 1
        for each in answer:
            assert each["class"] == str(each["class_id"] - 1)
            assert each["probability"] == pytest.approx(float(expected[each["class_id"] - 1]), abs=1e-4)
