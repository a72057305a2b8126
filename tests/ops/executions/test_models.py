"""Of model archives the two files of a model are read, whatever else is inside; and what Spot saved."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from ops.executions.jobs import Training
from ops.executions.models import ArtifactError, folder_name, unpack, weights_sha256
from tests.support.services.fake_execution_scenarios import archive


def test_the_weights_digest_is_of_the_one_member_with_that_name(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive(model_json=b"{}", model_safetensors=b"abc"))
    assert weights_sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert [each.name for each in tmp_path.iterdir()] == ["model.tar.gz"]


@pytest.mark.parametrize(
    "body", [b"", b"text", archive(model_json=b"{}"), archive(model_safetensors=b"abc" * 9999)[:60]]
)
def test_an_archive_without_weights_or_damaged_is_told(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(body)
    with pytest.raises(ArtifactError, match=r"damaged archive|no model.safetensors"):
        weights_sha256(path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.executions.models.UNPACKED_LIMIT", 1 << 20)
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive(other=b"\0" * (8 << 20), model_safetensors=b"abc"))
    for read in (weights_sha256, lambda path: unpack(path, tmp_path)):
        with pytest.raises(ArtifactError, match="unpacks to more"):
            read(path)


def test_a_model_is_unpacked_without_what_else_is_packed_with_it(tmp_path: Path) -> None:
    path, target = tmp_path / "model.tar.gz", tmp_path / "model"
    target.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("model.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name in ("../evil", "/etc/evil", "code/model.json", "./model.json", "model.safetensors"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    unpack(path, target)
    assert {each.name: each.read_bytes() for each in target.iterdir()} == {
        "model.json": b"./model.json",
        "model.safetensors": b"model.safetensors",
    }
    assert {each.name for each in tmp_path.iterdir()} == {"model.tar.gz", "model"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "damaged archive"),
        (archive(other=b""), "no model.json and no model.safetensors in it"),
        (b"text", "damaged archive"),
        (archive(model_json=b"{}"), "no model.safetensors in it"),
        (archive(model_json=b"{}", model_safetensors=b"abc" * 9999)[:60], "damaged archive"),
    ],
)
def test_a_model_that_is_not_whole_is_not_unpacked(tmp_path: Path, body: bytes, said: str) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(body)
    with pytest.raises(ArtifactError, match=said):
        unpack(path, tmp_path)


@pytest.mark.parametrize(
    ("training_type", "name"),
    [("Spot", "spot"), ("OnDemand", "on-demand"), ("../../etc", "etc"), ("/", "model")],
)
def test_a_training_type_becomes_a_harmless_file_name(training_type: str, name: str) -> None:
    assert folder_name(training_type) == name


def saving(training_seconds: int | None, billable_seconds: int | None) -> float | None:
    return Training(
        name="job",
        type="Spot",
        status="Completed",
        spot=True,
        metrics={},
        transitions=(),
        training_seconds=training_seconds,
        billable_seconds=billable_seconds,
        instances="1 x ml.m5.xlarge",
        hyper_parameters={},
        artifacts=None,
    ).saving


def test_the_saving_is_computed_as_the_console_does() -> None:
    assert saving(100, 30) == pytest.approx(0.7)
    assert saving(100, 100) == 0
    assert saving(0, 0) is None
    assert saving(None, 5) is None
