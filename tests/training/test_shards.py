"""What Preprocess writes: shards, indexes and the manifest; and what it does about broken images."""

import hashlib
import io
import shutil
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from image_data import decoding
from tests.support.training.cub_layout import write_cub
from tests.support.training.preprocess_job import SPLITS, PreprocessJob


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreprocessJob:
    return PreprocessJob(tmp_path / "job", monkeypatch)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- what is written ---------------------------------------------------------------------------------------


def test_the_same_data_gives_the_same_bytes(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert job.run() == 0
    first = hashes(job.base / "processing/output")
    shutil.rmtree(job.base / "processing/output")
    assert job.run() == 0
    assert hashes(job.base / "processing/output") == first


def test_images_keep_their_full_frame_and_boxes_are_scaled_with_them(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert job.run() == 0
    channel = job.channel("test")
    assert (channel.entries[0].width, channel.entries[0].height) == (53, 40)
    assert tuple(channel.pixels(0).shape) == (3, 40, 53)
    assert list(channel.entries[0].box or ()) == pytest.approx([5.3, 4, 26.5, 20], abs=0.01)
    assert job.manifest()["images"][0] | {"width": 80, "height": 60} == job.manifest()["images"][0]


def test_the_manifest_holds_the_sha256_of_every_image(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert job.run() == 0
    for image in job.manifest()["images"]:
        data = (job.data / "images" / image["name"]).read_bytes()
        assert image["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(job.manifest()["images"]) == 36


def test_the_digest_changes_with_one_byte_of_one_image(job: PreprocessJob) -> None:
    write_cub(job.data)
    assert job.run() == 0
    digests = [job.manifest()["digest"]]
    assert job.channel("train").digest == digests[0]
    image = job.data / "images/003.Bobolink/Bobolink no 4.jpg"
    content = image.read_bytes()
    for last in (b"\0", b"\1"):  # of the same size
        image.write_bytes(content + last)
        assert job.run() == 0
        digests.append(job.manifest()["digest"])
    assert len(set(digests)) == 3


@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_instances_gives_the_same_images(
    job: PreprocessJob, tmp_path: Path, count: int
) -> None:
    write_cub(job.data)
    assert job.run() == 0
    alone = {split: [(e.id, e.label, e.size) for e in job.channel(split).entries] for split in SPLITS}
    pixels = [job.channel("train").pixels(position) for position in range(15)]
    digest = job.manifest()["digest"]
    shutil.rmtree(job.base / "processing/output")
    hosts = [f"algo-{number}" for number in range(1, count + 1)]
    for host in hosts:
        job.on_host(host, hosts)
        assert job.run() == 0
    together = {split: [(e.id, e.label, e.size) for e in job.channel(split).entries] for split in SPLITS}
    assert together == alone
    assert all(bool((job.channel("train").pixels(i) == pixels[i]).all()) for i in range(15))
    assert job.manifest()["digest"] == job.channel("test").digest == digest
    assert len(job.manifest()["images"]) == 36
    assert (job.paths.processing_output("manifest") / f"manifest-algo-{count}.json").exists()


# --- broken images -----------------------------------------------------------------------------------------


def test_a_truncated_image_is_listed_and_left_out(job: PreprocessJob) -> None:
    write_cub(job.data)
    broken = job.data / "images/003.Bobolink/Bobolink no 4.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    assert job.run() == 0
    assert [image["name"] for image in job.manifest()["unreadable"]] == ["003.Bobolink/Bobolink no 4.jpg"]
    assert "truncated" in job.manifest()["unreadable"][0]["reason"]
    assert sum(len(job.channel(split)) for split in SPLITS) == 35 == len(job.manifest()["images"])


def test_too_many_broken_images_fail_the_step_with_the_first_one(job: PreprocessJob) -> None:
    write_cub(job.data)
    for number in (4, 5):
        (job.data / f"images/003.Bobolink/Bobolink no {number}.jpg").write_bytes(b"not an image")
    reason = job.failure()
    assert "2 of 36 images cannot be read, more than 5%" in reason
    assert "'003.Bobolink/Bobolink no 4.jpg': not a JPEG, PNG, WebP, GIF or BMP image" in reason


def test_a_stored_image_holds_nothing_but_its_pixels() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    said = {"comment": b"somebody", "icc_profile": b"somebody", "xmp": b"somebody", "exif": exif}
    original = io.BytesIO()
    Image.new("RGB", (80, 60)).save(original, "JPEG", **said)
    data = original.getvalue() + b"somebody"
    assert data.count(b"somebody") == 5
    for short_side in (40, 60):  # an image of that size is not scaled
        stored = decoding.shrink(decoding.decode(data), short_side)
        assert b"somebody" not in decoding.encode(stored, 90)
        assert b"somebody" not in decoding.encode_exactly(stored)
