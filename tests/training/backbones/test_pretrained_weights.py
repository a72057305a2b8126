"""A file of weights in any form that is published gives the features of the network it was made of."""

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from tests.support.training.trained_model import preprocessed, run, training_folder
from tests.support.training.weight_files import randomised, write_weights
from training.artifact import read_artifact
from training.backbones.hugging_face import authors_names
from training.job import JobError
from training.model import Classifier

pytestmark = pytest.mark.slow

State = dict[str, Tensor]
SIZE = 56
CONVNEXT, CONVNEXT2 = "convnext_atto", "convnextv2_atto"
VIT, DINOV2, REGISTERS = "vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"


def network(name: str, **options: Any) -> Any:
    """Build timm's network with its classes and with weights that show."""
    options = {"img_size": SIZE, **options} if name.startswith("vit") else options
    return randomised(timm.create_model(name, **options))


def renamed(state: Mapping[str, Tensor], *names: tuple[str, str]) -> State:
    def new(name: str) -> str:
        return functools.reduce(lambda text, each: re.sub(each[0], each[1], text), names, name)

    return {new(name): value for name, value in state.items()}


def metas_convnext(state: State) -> State:
    named = renamed(
        state,
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
        (r"\.conv_dw\.", ".dwconv."),
        (r"\.mlp\.grn\.weight", ".grn.gamma"),
        (r"\.mlp\.grn\.bias", ".grn.beta"),
        (r"\.mlp\.fc", ".pwconv"),
        (r"^head\.norm\.", "norm."),
        (r"^head\.fc\.", "head."),
    )
    return {name: metas_shape(name, value) for name, value in named.items()}


def metas_shape(name: str, value: Tensor) -> Tensor:
    """Meta's point-wise convolutions are linear layers, and its response normalisation is for four axes."""
    if ".pwconv" in name and value.ndim == 4:
        return value[:, :, 0, 0]
    return value.view(1, 1, 1, -1) if ".grn." in name else value


def transformers_convnext(state: State) -> State:
    named = renamed(
        metas_convnext(state),
        (r"^downsample_layers\.0\.0\.", "embeddings.patch_embeddings."),
        (r"^downsample_layers\.0\.1\.", "embeddings.layernorm."),
        (r"^downsample_layers\.(\d+)\.", r"encoder.stages.\1.downsampling_layer."),
        (r"^stages\.(\d+)\.(\d+)\.norm\.", r"stages.\1.\2.layernorm."),
        (r"^stages\.(\d+)\.", r"encoder.stages.\1.layers."),
        (r"\.gamma$", ".layer_scale_parameter"),
        (r"\.grn\.layer_scale_parameter$", ".grn.weight"),
        (r"\.grn\.beta$", ".grn.bias"),
        (r"^norm\.", "layernorm."),
        (r"^head\.", "classifier."),
    )
    return {
        name if name.startswith("classifier") else f"convnext.{name}": each for name, each in named.items()
    }


def metas_dinov2(state: State) -> State:
    """Meta keeps a token for masked patches; beside registers, its class token has a position, too."""
    meta = {**state, "mask_token": torch.zeros(1, state["cls_token"].shape[-1])}
    if "reg_token" in state:
        meta["register_tokens"] = meta.pop("reg_token")
        place = torch.full_like(state["cls_token"], 0.25)
        meta["cls_token"] = state["cls_token"] - place
        meta["pos_embed"] = torch.cat([place, state["pos_embed"]], dim=1)
    return meta


def split_attention(state: State, parts: str) -> State:
    result = {}
    for name, value in state.items():
        if ".attn.qkv." in name:
            for part, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                result[name.replace("attn.qkv", parts + part)] = piece
        else:
            result[name] = value
    return result


def transformers_vit(state: State) -> State:
    return renamed(
        split_attention(state, "attention.attention."),
        (r"^(cls_token|mask_token|register_tokens)$", r"vit.embeddings.\1"),
        (r"^pos_embed$", "vit.embeddings.position_embeddings"),
        (r"^patch_embed\.proj\.", "vit.embeddings.patch_embeddings.projection."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"^blocks\.", "vit.encoder.layer."),
        (r"^norm\.", "vit.layernorm."),
        (r"^head\.", "classifier."),
    )


def transformers_dinov2(state: State) -> State:
    return renamed(
        split_attention(metas_dinov2(state), "attention.attention."),
        (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
        (r"^blocks\.", "encoder.layer."),
        (r"^norm\.", "layernorm."),
    )


def same(state: State) -> State:
    return state


@pytest.mark.parametrize(
    ("name", "form", "file"),
    [
        (CONVNEXT, same, "model.safetensors"),
        (CONVNEXT, same, "pytorch_model.bin"),
        (CONVNEXT, metas_convnext, "convnext_atto.pth"),
        (CONVNEXT, transformers_convnext, "model.safetensors"),
        (CONVNEXT2, metas_convnext, "convnextv2_atto.pt"),
        (CONVNEXT2, transformers_convnext, "pytorch_model.bin"),
        (VIT, same, "model.safetensors"),
        (VIT, transformers_vit, "pytorch_model.bin"),
        (DINOV2, same, "model.safetensors"),
        (DINOV2, metas_dinov2, "dinov2_vits14_pretrain.pth"),
        (DINOV2, transformers_dinov2, "model.safetensors"),
        (REGISTERS, metas_dinov2, "dinov2_vits14_reg4_pretrain.pth"),
        (REGISTERS, transformers_dinov2, "model.safetensors"),
    ],
)
def test_every_form_gives_timm_s_features(
    tmp_path: Path, name: str, form: Callable[[State], State], file: str
) -> None:
    original = network(name, num_classes=5 if name != CONVNEXT2 else 1000)
    path = write_weights(tmp_path / file, form(dict(original.state_dict())))
    classifier = Classifier(f"timm/{name}", 3, 0.2, image_size=SIZE).eval()
    assert classifier.load_pretrained(tmp_path) == hashlib.sha256(path.read_bytes()).hexdigest()
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = original.forward_head(original.forward_features(x), pre_logits=True)
        features = classifier.body(x)
        assert torch.allclose(features, expected, atol=1e-4)
        assert expected.std() > 0.1
        # The classes' layer of the file sees what it saw.
        assert torch.allclose(original.get_classifier()(features), original(x), atol=1e-4)


@pytest.mark.parametrize("wrapping", ["model", "state_dict"])
def test_a_checkpoint_that_wraps_the_state_dict_is_read(tmp_path: Path, wrapping: str) -> None:
    original = network(CONVNEXT)
    torch.save({wrapping: metas_convnext(dict(original.state_dict()))}, tmp_path / "convnext.pth")
    classifier = Classifier(f"timm/{CONVNEXT}", 3, 0.2)
    classifier.load_pretrained(tmp_path)
    assert torch.equal(
        classifier.body.get_parameter("stem.0.weight"), original.get_parameter("stem.0.weight")
    )


def test_half_precision_is_read(tmp_path: Path) -> None:
    original = network(CONVNEXT)
    halves = {name: value.half() for name, value in original.state_dict().items()}
    write_weights(tmp_path / "model.safetensors", halves)
    classifier = Classifier(f"timm/{CONVNEXT}", 3, 0.2)
    classifier.load_pretrained(tmp_path)
    stem = classifier.body.get_parameter("stem.0.weight")
    assert stem.dtype == torch.float32
    assert torch.equal(stem, halves["stem.0.weight"].float())


def test_positions_are_resized_to_the_image_size(tmp_path: Path) -> None:
    original = network(VIT, img_size=64)
    write_weights(tmp_path / "model.safetensors", transformers_vit(dict(original.state_dict())))
    classifier = Classifier(f"timm/{VIT}", 3, 0.2, image_size=96)
    classifier.load_pretrained(tmp_path)
    positions = classifier.body.get_parameter("pos_embed")
    assert tuple(positions.shape) == (1, 1 + 36, 192)
    given = original.get_parameter("pos_embed")
    assert torch.equal(positions[:, 0], given[:, 0])
    assert float(positions.detach().mean()) == pytest.approx(float(given.detach().mean()), abs=0.01)


def test_the_gated_layers_of_the_largest_dinov2_have_metas_names() -> None:
    state = {
        "encoder.layer.0.attention.attention.query.weight": torch.zeros(2, 2),
        "encoder.layer.0.attention.attention.key.weight": torch.ones(2, 2),
        "encoder.layer.0.attention.attention.value.weight": torch.ones(2, 2),
        "encoder.layer.0.mlp.weights_in.bias": torch.zeros(2),
        "encoder.layer.0.mlp.weights_out.bias": torch.zeros(2),
    }
    assert authors_names(state).keys() == {
        "blocks.0.attn.qkv.weight",
        "blocks.0.mlp.w12.bias",
        "blocks.0.mlp.w3.bias",
    }


def refused(tmp_path: Path, backbone: str, state: Mapping[str, Any], size: int | None = None) -> str:
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(JobError) as told:
        Classifier(backbone, 3, 0.2, image_size=size).load_pretrained(tmp_path)
    return str(told.value)


def test_weights_of_another_network_are_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    said = refused(tmp_path, "timm/resnet18", network(CONVNEXT).state_dict())
    assert said == (
        "weights.pth does not fit the backbone timm/resnet18: 100 tensors are missing, e.g. conv1.weight, "
        "128 are left over, e.g. stem.0.weight; a file must be timm's of this network, its authors' (as "
        "Meta's), or one of Hugging Face transformers'"
    )


def test_weights_of_a_deeper_network_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "resnet18", timm.create_model("resnet34").state_dict())
    assert "does not fit the backbone resnet18: " in said
    assert "are left over, e.g. layer" in said
    assert "a file must be torchvision's state dict of this network" in said


def test_weights_of_a_wider_network_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, f"timm/{CONVNEXT}", timm.create_model("convnext_femto").state_dict())
    assert "stem.0.weight has shape (48, 3, 4, 4) instead of (40, 3, 4, 4)" in said


def test_a_file_that_its_converter_does_not_know_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, f"timm/{CONVNEXT}", timm.create_model("resnet18").state_dict())
    assert f"does not fit the backbone timm/{CONVNEXT}: it cannot be converted (KeyError" in said


@pytest.mark.parametrize(
    "content",
    [{}, {"model": 3}, [torch.zeros(1)], {"epoch": 3, "weight": torch.zeros(1)}, {1: torch.zeros(1)}],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    assert "weights.pth is not a state dict of tensors" in refused(tmp_path, "resnet18", content)


def test_a_pickle_with_more_than_tensors_is_not_loaded(tmp_path: Path) -> None:
    assert "weights.pth holds more than tensors" in refused(tmp_path, "resnet18", {"fc": Path("/etc/passwd")})


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 this is no file of weights")
    with pytest.raises(JobError, match=f"{name} (is not a file of weights|holds more than tensors)"):
        Classifier("resnet18", 3, 0.2).load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("files", "holds"),
    [
        ([], "nothing"),
        (["README.md"], "README.md"),
        (["a.pth", "b.safetensors", "README.md"], "a.pth, b.safetensors"),
    ],
)
def test_none_or_several_files_are_answered_with_what_to_do(
    tmp_path: Path, files: list[str], holds: str
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    message = rf"exactly one file \(.safetensors, .pth, .pt, .bin\) .*: {holds}\); .*--pretrained-channel"
    with pytest.raises(JobError, match=message):
        Classifier("resnet18", 3, 0.2).load_pretrained(tmp_path)


def test_a_missing_channel_is_answered_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no such folder"):
        Classifier("resnet18", 3, 0.2).load_pretrained(tmp_path / "pretrained")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


@pytest.mark.parametrize(
    ("backbone", "frozen", "tuned"),
    [
        ("resnet18", "layer1.0.conv1.weight", "layer4.0.conv1.weight"),
        (f"timm/{VIT}", "blocks.0.attn.qkv.weight", "blocks.11.attn.qkv.weight"),
    ],
)
def test_a_backbone_trains_with_weights_of_the_channel(
    outputs: Path, tmp_path: Path, backbone: str, frozen: str, tuned: str
) -> None:
    options: dict[str, Any] = {"img_size": 32} if "vit" in backbone else {}
    given = randomised(timm.create_model(backbone.removeprefix("timm/"), **options)).state_dict()
    paths = training_folder(tmp_path, outputs, backbone=backbone, epochs="1", fine_tune_epochs="1")
    write_weights(paths.channel("pretrained") / "model.safetensors", given)
    run(paths)
    classifier, description = read_artifact(paths.model)
    trained = classifier.body.state_dict()
    assert description.backbone == backbone
    assert torch.equal(trained[frozen], given[frozen])
    assert not torch.equal(trained[tuned], given[tuned])
