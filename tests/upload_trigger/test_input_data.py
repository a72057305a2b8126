"""Which data an execution reads: one data set, all of it there, and a digest that changes when it does."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.services.direct_client import DirectClient
from tests.support.services.fake_s3 import FakeS3
from upload_trigger import admission, input_data
from upload_trigger.definition.loading import InvalidDefinitionError
from upload_trigger.input_data import InputData
from upload_trigger.settings import PARALLEL, Policy, Settings
from upload_trigger.uploads import Upload

SHIPPED = json.loads((Path(__file__).parents[2] / "pipeline_definition" / "pipeline.json").read_bytes())
BUCKET = "cv-birds-123456789012"
DATA = f"s3://{BUCKET}/data/"
SETTINGS = Settings(
    pipeline_name="cv-birds",
    role_arn="arn:aws:iam::123456789012:role/pipeline",
    parameters={
        "ArtifactBucket": BUCKET,
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/jobs",
        "ModelPackageGroupName": "cv-birds",
        "TrainingImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds:1",
    },
    parameter_defaults={"InputDataUrl": DATA},
    policy=Policy(),
    on_running=PARALLEL,
)


class Bucket:
    """The deployment's bucket, with objects below data/."""

    def __init__(self, *keys: str) -> None:
        self.fake = FakeS3(BUCKET)
        self.operations: list[str] = []
        self.client = DirectClient("s3", self.fake, self._note, strict=True)
        for key in keys:
            self.put(key)

    def _note(self, operation: str, given: dict[str, Any], effect: Any) -> Any:
        self.operations.append(operation)
        return effect()

    def put(self, key: str, body: bytes | None = None) -> None:
        """Put an object; a key that ends in a slash marks a folder."""
        whole = f"data/{key}"
        default = b"" if whole.endswith("/") else b"image"
        self.fake.put(whole, default if body is None else body)

    def admit(self, **values: object) -> admission.Examination:
        """Upload the shipped definition with some values beside it."""
        self.fake.put("pipeline/parameters.json", json.dumps(values).encode())
        upload = Upload(BUCKET, "pipeline/pipeline.json", "version")
        return admission.admit(json.dumps(SHIPPED).encode(), upload, SETTINGS, self.client)

    def refusal(self, **values: object) -> tuple[str, str]:
        """Upload it, and give where and why it was refused."""
        with pytest.raises(InvalidDefinitionError) as caught:
            self.admit(**values)
        (problem,) = caught.value.problems
        return problem.pointer, problem.message

    def read(self, url: str) -> str:
        """Return the digest of what is at a location."""
        return input_data.look(self.client, BUCKET, url, digest=True).digest


DECLARED = next(i for i, each in enumerate(SHIPPED["Parameters"]) if each["Name"] == "InputDataUrl")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["birds/images.txt", "birds/images/1.jpg"], "birds/"),
        (["CUB_200_2011.tgz"], "CUB_200_2011.tgz"),
        (["", "birds/", "birds/1.jpg"], "birds/"),
        (["birds/1.jpg", "empty/"], "birds/"),
        ([".DS_Store", "birds/1.jpg", ".Trash/1.jpg"], "birds/"),
    ],
    ids=str,
)
def test_the_one_data_set_that_there_is_is_read(keys: list[str], name: str) -> None:
    parameters = Bucket(*keys).admit().parameters
    assert parameters["InputDataUrl"] == f"{DATA}{name}"
    assert re.fullmatch("[0-9a-f]{16}", parameters["InputDataDigest"])
    assert list(parameters) == [each["Name"] for each in SHIPPED["Parameters"] if each["Name"] in parameters]


def test_a_data_set_that_lies_bare_in_the_folder_is_read_when_somebody_says_so() -> None:
    bucket = Bucket("classes.txt", "images.txt", "images/1.jpg")
    assert f'{{"InputDataUrl": "{DATA}"}}' in bucket.refusal()[1]
    assert bucket.admit(InputDataUrl=DATA).parameters["InputDataUrl"] == DATA


def test_of_several_data_sets_none_is_read_and_their_names_are_told() -> None:
    bucket = Bucket("birds/1.jpg", "CUB_200_2011.tgz", "cats/1.jpg")
    place, message = bucket.refusal()
    assert place == f"/Parameters/{DECLARED}"
    assert message == (
        f"{DATA} holds several data sets (CUB_200_2011.tgz, birds/, cats/); say which: write "
        f'{{"InputDataUrl": "{DATA}CUB_200_2011.tgz"}} into parameters.json beside the definition and upload '
        "the definition again, or use cv-pipeline upload --data PATH"
    )
    assert bucket.admit(InputDataUrl=f"{DATA}cats/").parameters["InputDataUrl"] == f"{DATA}cats/"


def test_of_a_thousand_data_sets_the_first_ten_are_told_after_one_look() -> None:
    bucket = Bucket(*(f"{number:04}/1.jpg" for number in range(1_500)))
    message = bucket.refusal()[1]
    assert "0009/, ...)" in message
    assert len(message) < 400
    assert bucket.operations.count("ListObjectsV2") == 1


@pytest.mark.parametrize("keys", [[], [""], ["", "birds/", "cats/"], [".DS_Store"]], ids=str)
def test_without_any_data_the_upload_is_refused_and_told_how_to_upload_some(keys: list[str]) -> None:
    place, message = Bucket(*keys).refusal()
    assert place == f"/Parameters/{DECLARED}"
    assert f"{DATA} holds no data set; upload one (cv-pipeline upload --data PATH" in message


def test_a_folder_that_only_its_marker_is_in_holds_no_data() -> None:
    assert "there is no object below" in Bucket("birds/").refusal()[1]


@pytest.mark.parametrize("name", ["brids/", "brids", "birds/images/1.jpg/", "bird"])
def test_a_location_that_names_nothing_is_refused_where_it_is_given(name: str) -> None:
    place, message = Bucket("birds/images/1.jpg").refusal(InputDataUrl=f"{DATA}{name}")
    assert place == "parameters.json#/InputDataUrl"
    assert message == (
        f"there is no object below {DATA}{name.removesuffix('/')}/; {DATA} holds birds/; "
        "upload the data, then the definition again"
    )


def test_a_folder_named_without_its_slash_does_not_mix_in_one_whose_name_begins_alike() -> None:
    bucket = Bucket("birds/1.jpg", "birds-2/1.jpg")
    assert bucket.admit(InputDataUrl=f"{DATA}birds").parameters["InputDataUrl"] == f"{DATA}birds/"
    before = bucket.read(f"{DATA}birds")
    bucket.put("birds-2/1.jpg", b"another")
    assert bucket.read(f"{DATA}birds") == before


@pytest.mark.parametrize("other", ["birds.tgz.md5", "birds.tgz/1.jpg", "birds.tgz2"])
def test_an_object_beside_one_whose_name_begins_alike_is_refused_because_both_would_be_read(
    other: str,
) -> None:
    bucket = Bucket("birds.tgz", other)
    assert (
        f"{DATA}{other} begins with {DATA}birds.tgz, so a job would read both"
        in (bucket.refusal(InputDataUrl=f"{DATA}birds.tgz")[1])
    )


def test_the_default_of_the_definition_s_author_is_read_and_looked_at() -> None:
    definition = json.loads(json.dumps(SHIPPED))
    definition["Parameters"][DECLARED]["DefaultValue"] = f"{DATA}birds/"
    bucket = Bucket("birds/1.jpg", "cats/1.jpg")
    upload = Upload(BUCKET, "pipeline/pipeline.json", "version")

    admitted = admission.admit(json.dumps(definition).encode(), upload, SETTINGS, bucket.client)

    assert "InputDataUrl" not in admitted.parameters
    assert admitted.parameters["InputDataDigest"] == bucket.read(f"{DATA}birds/")


def changed(bucket: Bucket, keys: Iterable[str]) -> bool:
    before = bucket.read(f"{DATA}birds/")
    for key in keys:
        bucket.put(key, b"other")
    return bucket.read(f"{DATA}birds/") != before


def test_the_digest_changes_with_every_object_and_with_nothing_else() -> None:
    bucket = Bucket("birds/1.jpg", "birds/2.jpg", "cats/1.jpg")
    assert changed(bucket, ["birds/1.jpg"])
    assert changed(bucket, ["birds/3.jpg"])
    assert not changed(bucket, ["cats/1.jpg", "birds-2/1.jpg", "birds/1.jpg"])
    bucket.put("birds/folder/")
    assert not changed(bucket, [])
    before = bucket.read(f"{DATA}birds/")
    bucket.fake.call("DeleteObject", {"Bucket": BUCKET, "Key": "data/birds/3.jpg"})
    assert bucket.read(f"{DATA}birds/") != before


def test_the_digest_is_of_keys_etags_and_sizes_in_the_order_of_the_keys() -> None:
    first, second = Bucket("birds/1.jpg", "birds/2.jpg"), Bucket("birds/2.jpg", "birds/1.jpg")
    assert first.read(f"{DATA}birds/") == second.read(f"{DATA}birds/")
    swapped = Bucket()
    swapped.put("birds/1.jpg", b"a")
    swapped.put("birds/2.jpg", b"b")
    other = Bucket()
    other.put("birds/1.jpg", b"b")
    other.put("birds/2.jpg", b"a")
    assert swapped.read(f"{DATA}birds/") != other.read(f"{DATA}birds/")


def test_a_data_set_larger_than_one_page_is_listed_to_its_end() -> None:
    bucket = Bucket(*(f"birds/{number:05}" for number in range(2_500)))
    assert changed(bucket, ["birds/02499"])


@pytest.mark.parametrize("limit", ["MAX_OBJECTS", "MAX_SECONDS"])
def test_beyond_the_bounds_the_digest_is_unknown_and_a_warning_says_what_that_means(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    bucket = Bucket("birds/1.jpg", "birds/2.jpg", "birds/3.jpg")
    monkeypatch.setattr(input_data, "MAX_OBJECTS", 3)
    assert bucket.read(f"{DATA}birds/") != "unknown"
    monkeypatch.setattr(input_data, limit, {"MAX_OBJECTS": 2, "MAX_SECONDS": -1.0}[limit])

    admitted = bucket.admit()

    assert admitted.parameters["InputDataDigest"] == "unknown"
    (warning,) = admitted.warnings
    assert "does not notice objects that are overwritten there" in warning.message
    assert "upload changed data under another name" in warning.message


def test_what_the_function_may_not_list_has_no_digest_and_a_warning() -> None:
    url = f"s3://{BUCKET}/executions/1/preprocess/train"
    admitted = Bucket().admit(InputDataUrl=url)
    assert (admitted.parameters["InputDataUrl"], admitted.parameters["InputDataDigest"]) == (url, "unknown")
    assert "is not below" in admitted.warnings[0].message


def test_a_definition_without_the_digest_has_its_data_found_but_not_listed() -> None:
    bucket = Bucket(*(f"birds/{number:05}" for number in range(2_500)))
    found = input_data.look(bucket.client, BUCKET, f"{DATA}birds/", digest=False)
    assert found == InputData(f"{DATA}birds/")
    assert bucket.operations == ["ListObjectsV2"]


def test_a_location_that_the_deployment_gives_elsewhere_is_taken_as_it_is() -> None:
    assert input_data.only_data_set(None, BUCKET, "s3://another/data/") == "s3://another/data/"
