"""Uploads: what arrives in the bucket, what is left out, and what is refused before anything is sent."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console

from image_data.plan import Choice
from ops.datasets.check import choice_of_data
from ops.errors import CannotUploadError, OpsError
from ops.uploads.data_set import DataFiles, check_data, choice_of
from ops.uploads.upload import check_parameters, definition_key, upload_data, upload_definition
from tests.support.image_data.arrangements import as_class_folders, pack
from tests.support.services.fake_execution import client_of
from tests.support.training.cub_layout import picture, write_cub

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
    """A data set with spaces and umlauts in its names."""
    folder = write_cub(tmp_path / "my birds", classes=2, images=4)
    for path in (folder / "images").rglob("*.jpg"):
        path.rename(path.with_name(f"größer {path.name}"))
    names = (folder / "images.txt").read_text(encoding="utf-8")
    (folder / "images.txt").write_text(re.sub("/", "/größer ", names), encoding="utf-8")
    return folder


def checked(folder: Path) -> DataFiles:
    return check_data(folder, Choice(), quiet())


def quiet() -> Console:
    return Console(file=io.StringIO())


def keys(s3: Any) -> dict[str, bytes]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {name: s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


def test_a_folder_arrives_below_a_prefix_named_after_its_content(s3: Any, birds: Path) -> None:
    url = upload_data(s3, BUCKET, checked(birds), quiet())
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    assert prefix.startswith("data/")
    assert len(prefix) == len("data/0123456789ab/")
    names = {
        path.relative_to(birds).as_posix(): path.read_bytes() for path in birds.rglob("*.*") if path.is_file()
    }
    assert len(names) == 5 + 8
    assert keys(s3) == {prefix + name: content for name, content in names.items()}


def test_the_same_data_is_uploaded_once_and_changed_data_elsewhere(s3: Any, birds: Path) -> None:
    first = upload_data(s3, BUCKET, checked(birds), quiet())
    calls: list[str] = []
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: calls.append(params["url_path"]))
    assert upload_data(s3, BUCKET, checked(birds), quiet()) == first
    assert not calls
    (birds / "classes.txt").write_text("1 001.Other\n2 002.More\n", encoding="utf-8")
    assert upload_data(s3, BUCKET, checked(birds), quiet()) != first


def test_an_upload_that_was_cut_off_goes_on_with_what_is_missing(s3: Any, birds: Path) -> None:
    url = upload_data(s3, BUCKET, checked(birds), quiet())
    lost = url.removeprefix(f"s3://{BUCKET}/") + "classes.txt"
    s3.delete_object(Bucket=BUCKET, Key=lost)
    out = Console(file=io.StringIO(), width=200)
    upload_data(s3, BUCKET, checked(birds), out)
    assert lost in keys(s3)
    assert "Uploaded 1 file (" in out.file.getvalue()  # type: ignore[attr-defined]


def test_more_objects_than_one_page_lists_are_found_again(s3: Any, birds: Path) -> None:
    small_pages = {"MaxKeys": 3}
    s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | small_pages
    )
    data = upload_data(s3, BUCKET, checked(birds), quiet())
    calls: list[str] = []
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: calls.append(params["url_path"]))
    assert upload_data(s3, BUCKET, checked(birds), quiet()) == data
    assert not calls


def test_links_are_followed_and_what_is_not_data_is_left_out(s3: Any, birds: Path, tmp_path: Path) -> None:
    (birds / "images").rename(tmp_path / "elsewhere")
    (birds / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (birds / "images" / ".DS_Store").write_bytes(b"")
    (birds / "images" / "unlisted.jpg").write_bytes(b"")
    (birds / ".git").mkdir()
    (birds / "attributes").mkdir()
    (birds / "attributes" / "huge.txt").write_bytes(b"")
    (birds / "README.txt").write_bytes(b"about")
    prefix = upload_data(s3, BUCKET, checked(birds), quiet()).removeprefix(f"s3://{BUCKET}/")
    names = {key.removeprefix(prefix) for key in keys(s3)}
    assert len([name for name in names if name.startswith("images/")]) == 8
    assert "README.txt" in names
    assert not [name for name in names if re.search(r"DS_Store|\.git|attributes|unlisted", name)]


def test_the_folder_the_official_archive_unpacks_to_is_found(s3: Any, birds: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    birds.rename(tmp_path / "deep" / "CUB_200_2011")
    prefix = upload_data(s3, BUCKET, checked(tmp_path / "deep"), quiet()).removeprefix(f"s3://{BUCKET}/")
    assert f"{prefix}images.txt" in keys(s3)


@pytest.mark.parametrize("name", ["a.zip", "a.TGZ", "a.tar.bz2"])
def test_class_folders_and_their_archives_arrive_too(s3: Any, tmp_path: Path, name: str) -> None:
    photos = {f"{label}/{number}.jpg": picture(label, number) for label in (0, 1) for number in range(4)}
    as_class_folders(tmp_path / "own", photos, {}, {})
    prefix = upload_data(s3, BUCKET, checked(tmp_path / "own"), quiet()).removeprefix(f"s3://{BUCKET}/")
    assert keys(s3) == {prefix + photo: content for photo, content in photos.items()}
    path = pack(tmp_path / "own", tmp_path / name)
    prefix = upload_data(s3, BUCKET, checked(path), quiet()).removeprefix(f"s3://{BUCKET}/")
    assert keys(s3)[prefix + name] == path.read_bytes()


def test_an_archive_is_uploaded_as_it_is(s3: Any, birds: Path, tmp_path: Path) -> None:
    path = tmp_path / "CUB_200_2011.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(birds, "CUB_200_2011")
    prefix = upload_data(s3, BUCKET, checked(path), quiet()).removeprefix(f"s3://{BUCKET}/")
    assert keys(s3) == {f"{prefix}CUB_200_2011.tgz": path.read_bytes()}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no such file or folder"),
        (lambda path: path.mkdir(), "holds no files"),
        (lambda path: path.write_bytes(b"text"), "is no archive"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: as_class_folders(path, {"a.txt": b""}, {}, {}), "holds no images but a.txt"),
        (
            lambda path: as_class_folders(path, {"a.jpg": b""}, {}, {}),
            "no folders of classes; put each class's",
        ),
        (
            lambda path: (write_cub(path) / "classes.txt").unlink(),
            "AnnotationFileName 'classes.txt' is not in",
        ),
        (
            lambda path: (write_cub(path) / "image_class_labels.txt").unlink(),
            "image_class_labels.txt missing",
        ),
        (
            lambda path: next(write_cub(path).rglob("*.jpg")).unlink(),
            "1 image is listed in images.txt but not in",
        ),
        (
            lambda path: next(write_cub(path, images=4).rglob("*.jpg")).write_bytes(b""),
            "1 of 12 images cannot be",
        ),
        (lambda path: (write_cub(path / "a"), write_cub(path / "b")), r"several data sets \(a, b\)"),
    ],
)
def test_what_preprocess_would_refuse_is_told_in_a_sentence_before_any_upload(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "data")
    with pytest.raises(CannotUploadError, match=said) as told:
        checked(tmp_path / "data")
    assert str(tmp_path / "data") in told.value.message
    assert "\n" not in told.value.message


def test_what_is_let_pass_is_said(birds: Path) -> None:
    write_cub(birds / "more", images=10)
    broken = next((birds / "more").rglob("*.jpg"))
    broken.write_bytes(broken.read_bytes()[:-300])
    out = Console(file=io.StringIO(), width=300)
    check_data(birds / "more", Choice(), out)
    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert "Data laid out as CUB-200-2011: 3 classes, 30 images: 12 train, 3 validation, 15 test" in said
    assert f"unreadable image '{broken.parent.name}/{broken.name}': " in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(birds: Path) -> None:
    (birds / "images.txt").chmod(0)
    with pytest.raises(CannotUploadError, match=r"images\.txt cannot be read: check its permissions"):
        checked(birds)


def test_the_classes_that_an_execution_would_choose_are_looked_for() -> None:
    definition = json.loads(DEFINITION.read_bytes())
    chosen = choice_of(definition, {"ClassSelection": "1, 2", "Seed": "9", "Other": "x"})
    assert (chosen.class_selection, chosen.seed, chosen.annotation_file) == ("1, 2", 9, "classes.txt")
    assert choice_of(definition, {"Seed": "-3"}).seed == -3
    assert choice_of({}, {"ClassSelection": "1, 2"}) == Choice()


def test_a_check_without_an_upload_chooses_what_an_upload_does() -> None:
    assert choice_of(json.loads(DEFINITION.read_bytes()), {}) == choice_of_data({})


def test_broken_links_and_loops_are_named(birds: Path) -> None:
    (birds / "images" / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(CannotUploadError, match=r"gone.jpg is a symbolic link to nowhere.jpg, which"):
        checked(birds)
    (birds / "images" / "gone.jpg").unlink()
    (birds / "images" / "loop").symlink_to(birds / "images", target_is_directory=True)
    with pytest.raises(CannotUploadError, match="loop is a symbolic link to a folder that holds it"):
        checked(birds)


def test_a_name_that_is_not_utf8_is_named(birds: Path) -> None:
    try:
        (Path(os.fsdecode(bytes(birds / "images") + b"/\xff.jpg"))).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(CannotUploadError, match="is not UTF-8"):
        checked(birds)


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
    with pytest.raises(OpsError, match="cannot read the definition"):
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
