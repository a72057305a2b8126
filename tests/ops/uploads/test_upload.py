"""Uploads: what arrives in the bucket, what is left out, and what is refused before anything is sent."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console

from ops.errors import CannotUploadError
from ops.uploads.upload import check_data, check_parameters, definition_key, upload_data, upload_definition
from tests.support.services.fake_execution import client_of

BUCKET = "birds"
DEFINITION = Path(__file__).resolve().parents[3] / "pipeline_definition" / "pipeline.json"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = client_of("s3")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A data set with a space and an umlaut in its names."""
    folder = tmp_path / "my birds"
    (folder / "images" / "001.Grünspecht").mkdir(parents=True)
    (folder / "images.txt").write_text("1 001.Grünspecht/a bird.jpg\n", encoding="utf-8")
    (folder / "classes.txt").write_text("1 001.Grünspecht\n", encoding="utf-8")
    (folder / "images" / "001.Grünspecht" / "a bird.jpg").write_bytes(b"jpeg")
    return folder


def quiet() -> Console:
    return Console(file=io.StringIO())


def keys(s3: Any) -> dict[str, bytes]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {name: s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


def test_a_folder_arrives_below_a_prefix_named_after_its_content(s3: Any, birds: Path) -> None:
    url = upload_data(s3, BUCKET, birds, quiet())
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    assert prefix.startswith("data/")
    assert len(prefix) == len("data/0123456789ab/")
    assert set(keys(s3)) == {
        f"{prefix}classes.txt",
        f"{prefix}images.txt",
        f"{prefix}images/001.Grünspecht/a bird.jpg",
    }


def test_the_same_data_is_uploaded_once_and_changed_data_elsewhere(s3: Any, birds: Path) -> None:
    first = upload_data(s3, BUCKET, birds, quiet())
    calls: list[str] = []
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: calls.append(params["url_path"]))
    assert upload_data(s3, BUCKET, birds, quiet()) == first
    assert not calls
    (birds / "classes.txt").write_text("1 001.Other\n", encoding="utf-8")
    assert upload_data(s3, BUCKET, birds, quiet()) != first


def test_an_upload_that_was_cut_off_goes_on_with_what_is_missing(s3: Any, birds: Path) -> None:
    url = upload_data(s3, BUCKET, birds, quiet())
    lost = url.removeprefix(f"s3://{BUCKET}/") + "classes.txt"
    s3.delete_object(Bucket=BUCKET, Key=lost)
    out = Console(file=io.StringIO(), width=200)
    upload_data(s3, BUCKET, birds, out)
    assert lost in keys(s3)
    assert "Uploaded 1 file (" in out.file.getvalue()  # type: ignore[attr-defined]


def test_more_objects_than_one_page_lists_are_found_again(s3: Any, birds: Path) -> None:
    for number in range(7):
        (birds / "images" / f"{number}.jpg").write_bytes(b"x")
    small_pages = {"MaxKeys": 3}
    s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | small_pages
    )
    data = upload_data(s3, BUCKET, birds, quiet())
    calls: list[str] = []
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: calls.append(params["url_path"]))
    assert upload_data(s3, BUCKET, birds, quiet()) == data
    assert not calls


def test_links_are_followed_and_what_is_not_data_is_left_out(s3: Any, birds: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.jpg").write_bytes(b"linked")
    (birds / "images" / "002.Linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (birds / "images" / ".DS_Store").write_bytes(b"")
    (birds / ".git").mkdir()
    (birds / "attributes").mkdir()
    (birds / "attributes" / "huge.txt").write_bytes(b"")
    prefix = upload_data(s3, BUCKET, birds, quiet()).removeprefix(f"s3://{BUCKET}/")
    names = {key.removeprefix(prefix) for key in keys(s3)}
    assert "images/002.Linked/b.jpg" in names
    assert not [name for name in names if ".DS_Store" in name or ".git" in name or "attributes" in name]


def test_the_folder_the_official_archive_unpacks_to_is_found(s3: Any, birds: Path, tmp_path: Path) -> None:
    birds.rename(tmp_path / "CUB_200_2011")
    prefix = upload_data(s3, BUCKET, tmp_path, quiet()).removeprefix(f"s3://{BUCKET}/")
    assert f"{prefix}images.txt" in keys(s3)


def test_an_archive_is_uploaded_as_it_is(s3: Any, birds: Path, tmp_path: Path) -> None:
    path = tmp_path / "CUB_200_2011.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(birds, "CUB_200_2011")
    prefix = upload_data(s3, BUCKET, path, quiet()).removeprefix(f"s3://{BUCKET}/")
    assert keys(s3) == {f"{prefix}CUB_200_2011.tgz": path.read_bytes()}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no such file or folder"),
        (lambda path: path.mkdir(), "the folder is empty"),
        (
            lambda path: (path / "photos").mkdir(parents=True),
            r"no images.txt and no images .*holds photos",
        ),
        (lambda path: (path / "images").mkdir(parents=True), r"no images.txt there"),
        (lambda path: path.write_bytes(b"text"), r"not one of .tgz"),
    ],
)
def test_what_is_no_data_set_is_refused_with_what_was_looked_for(
    s3: Any, tmp_path: Path, make: Any, said: str
) -> None:
    make(tmp_path / "data")
    with pytest.raises(CannotUploadError, match=said):
        upload_data(s3, BUCKET, tmp_path / "data", quiet())
    assert not keys(s3)


def test_no_images_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images.txt").write_text("")
    with pytest.raises(CannotUploadError, match="images holds no files"):
        check_data(tmp_path)


@pytest.mark.parametrize("body", [b"not gzip", b""])
def test_a_damaged_or_empty_archive_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "data.tgz").write_bytes(body)
    with pytest.raises(CannotUploadError, match=r"not a readable archive|the file is empty"):
        check_data(tmp_path / "data.tgz")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("readme.md"))
    with pytest.raises(CannotUploadError, match=r"no images.txt and no images/ in the archive"):
        check_data(tmp_path / "data.tgz")


def test_broken_links_and_loops_are_named(birds: Path) -> None:
    (birds / "images" / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(CannotUploadError, match=r"gone.jpg is a symbolic link to nowhere.jpg, which"):
        check_data(birds)
    (birds / "images" / "gone.jpg").unlink()
    (birds / "images" / "loop").symlink_to(birds / "images", target_is_directory=True)
    with pytest.raises(CannotUploadError, match="loop is a symbolic link to a folder that holds it"):
        check_data(birds)


def test_a_name_that_is_not_utf8_is_named(birds: Path) -> None:
    try:
        (Path(os.fsdecode(bytes(birds / "images") + b"/\xff.jpg"))).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(CannotUploadError, match="is not UTF-8"):
        check_data(birds)


def test_an_unchanged_definition_is_uploaded_byte_for_byte(s3: Any) -> None:
    uploaded = upload_definition(s3, BUCKET, DEFINITION, {})
    answer = s3.get_object(Bucket=BUCKET, Key="pipeline/pipeline.json")
    assert answer["Body"].read() == DEFINITION.read_bytes()
    assert (uploaded.url, uploaded.version_id) == (
        f"s3://{BUCKET}/pipeline/pipeline.json",
        answer["VersionId"],
    )


def test_parameters_are_the_defaults_of_the_uploaded_copy_alone(s3: Any) -> None:
    before = DEFINITION.read_bytes()
    upload_definition(
        s3, BUCKET, DEFINITION, {"Epochs": "3", "InputDataUrl": "s3://b/data/x/"}, name="trial-2"
    )
    sent = json.loads(s3.get_object(Bucket=BUCKET, Key="pipeline/trial-2/pipeline.json")["Body"].read())
    defaults = {entry["Name"]: entry.get("DefaultValue") for entry in sent["Parameters"]}
    assert (defaults["Epochs"], defaults["InputDataUrl"]) == (3, "s3://b/data/x/")
    assert DEFINITION.read_bytes() == before


def test_a_definition_that_is_none_is_refused_with_every_problem(s3: Any, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text('{"Version": "2020-12-01", "Version": NaN}')
    with pytest.raises(
        CannotUploadError, match=r"pipeline.json is not a pipeline definition:\n(.|\n)*Version"
    ):
        upload_definition(s3, BUCKET, path, {})
    with pytest.raises(CannotUploadError, match="cannot read the definition"):
        check_parameters(tmp_path / "none.json", {})
    assert not keys(s3)


def test_a_bucket_without_versions_is_told(s3: Any) -> None:
    s3.create_bucket(Bucket="plain")
    with pytest.raises(CannotUploadError, match="keeps no versions"):
        upload_definition(s3, "plain", DEFINITION, {})


@pytest.mark.parametrize("name", ["a_b", "-a", "a-", "ü", "", "a/b", "a" * 101])
def test_a_name_that_cannot_be_a_pipelines_is_refused(name: str) -> None:
    with pytest.raises(CannotUploadError, match="--name"):
        definition_key(name)
