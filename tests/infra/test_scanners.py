"""The scanners find nothing that nobody answered for.

cdk-nag at the synthesis, cfn-lint and checkov on the templates, hadolint and checkov on the image.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.infra import studio_offers
from tests.support.infra.stack_options import OPTIONS, Template, template
from tests.support.soak import SOAKING

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
CHECKOV = Path(sys.prefix) / "checkov" / "bin" / "checkov"
TEMPLATE = ROOT / "infra" / "template.json"
DOCKERFILE = ROOT / "training" / "Dockerfile"


def _bare_queue(stack: Any) -> None:
    from aws_cdk import aws_sqs

    aws_sqs.CfnQueue(stack, "Bare", sqs_managed_sse_enabled=False)


def _bare_topic(stack: Any) -> None:
    from aws_cdk import aws_sns

    aws_sns.CfnTopic(stack, "Bare")


def _bare_function(stack: Any) -> None:
    from aws_cdk import aws_lambda

    code = aws_lambda.CfnFunction.CodeProperty(zip_file="def handler(event, context): pass")
    aws_lambda.CfnFunction(stack, "Bare", code=code, role="arn:aws:iam::123456789012:role/a")


@pytest.mark.parametrize(
    ("pack", "add", "rule"),
    [
        ("AwsSolutions", _bare_queue, "AwsSolutions-SQS2"),
        ("Serverless", _bare_function, "Serverless-LambdaDLQ"),
        ("NIST 800-53 R5", _bare_topic, "NIST.800.53.R5-SNSEncryptedKMS"),
    ],
    ids=["AwsSolutions", "Serverless", "NIST"],
)
def test_a_finding_of_any_pack_that_nobody_acknowledged_stops_the_synthesis(
    synthesis: ModuleType, tmp_path: Path, pack: str, add: Callable[[Any], None], rule: str
) -> None:
    from aws_cdk import App

    from infra.config import Config
    from infra.stack import build

    app = App(outdir=str(tmp_path / "cdk.out"))
    add(build(app, config=Config()))
    with pytest.raises(RuntimeError, match=rule):
        app.synth()


BAD = {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"Nmae": 1}}}}
BAD_DOCKERFILE = "FROM python:latest\nRUN pip install boto3\n"
RICHEST = (
    "hardened",
    "an image that AWS builds for GPUs",
    "a network of yours",
    "projects of Studio from the catalog",
    "a boundary",
)
"""The options that bring the most resources and reasons; a soak looks at every other one, too."""
OF = "OfTemplate"
"""Stands between a resource's name and the number of its template, where templates differ."""


@pytest.fixture(scope="module")
def stacks(synthesis: ModuleType) -> dict[str, Template]:
    """A template with the resources that options make or change, and that of Studio's projects."""
    kinds = {option.everything or frozenset(option.changes): name for name, option in OPTIONS.items()}
    return {
        "stack.json": merged([template(name) for name in (kinds.values() if SOAKING else RICHEST)]),
        "project.json": studio_offers.project(synthesis),
    }


def merged(templates: list[Template]) -> Template:
    """Put what differs between templates beside each other: a scanner takes seconds for each template.

    What is in the first one, or in one alone, keeps its name, so that references lead somewhere.
    """
    whole: dict[str, Any] = {}
    for number, each in enumerate(templates):
        for section in ("Parameters", "Conditions", "Resources", "Outputs"):
            held = whole.setdefault(section, {})
            for name, value in each.get(section, {}).items():
                if name not in held:
                    held[name] = value
                elif value not in [held[name], *(held[other] for other in held if base(other) == name)]:
                    held[f"{name}{OF}{number}"] = value
    return {section: held for section, held in whole.items() if held}


def base(name: str) -> str:
    """Return the name that a resource has in its own template."""
    return name.partition(OF)[0]


def without_metadata(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "Metadata"}


# Each scanner is started once, for it takes longer to start than to look.


@pytest.fixture(scope="module")
def linted(stacks: dict[str, Template], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What cfn-lint finds in each template, warnings included, with the service models that it carries."""
    folder = tmp_path_factory.mktemp("cfn-lint")
    committed = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    files = {**stacks, "committed.json": committed, "bad.json": BAD}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", *(folder / name for name in files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found: dict[str, list[Any]] = {name: [] for name in files}
    for each in json.loads(done.stdout):
        # The merged template has several resources of one name, which no stack has.
        if each["Rule"]["Id"] != "E3019" or Path(each["Filename"]).name != "stack.json":
            found[Path(each["Filename"]).name].append(each)
    return found


def test_cfn_lint_would_find_something(linted: dict[str, list[Any]]) -> None:
    assert linted["bad.json"]


@pytest.mark.parametrize("file", ["committed.json", "stack.json", "project.json"])
def test_neither_cdk_nag_nor_cfn_lint_finds_anything_whatever_is_chosen(
    file: str, linted: dict[str, list[Any]]
) -> None:
    # cdk-nag would have stopped the synthesis.
    assert linted[file] == []


# --- checkov and hadolint ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checked(
    stacks: dict[str, Template], tmp_path_factory: pytest.TempPathFactory
) -> set[tuple[str, str, str]]:
    """What checkov finds, without a network: file, resource and rule of each finding."""
    assert CHECKOV.exists(), f"{CHECKOV} is not there: `make test` installs it"
    folder = tmp_path_factory.mktemp("checkov")
    shutil.copy(TEMPLATE, folder / "committed.json")
    (folder / "bad.json").write_text(json.dumps(BAD))
    for name, stack in stacks.items():
        bare = {name: without_metadata(each) for name, each in stack["Resources"].items()}
        (folder / name).write_text(json.dumps({**stack, "Resources": bare}))
    shutil.copy(DOCKERFILE, folder)
    done = subprocess.run(
        [
            *(CHECKOV, "-d", folder, "--skip-download", "--compact", "-o", "json"),
            *("--framework", "cloudformation", "dockerfile"),
        ],
        env={"PATH": os.defpath, "HOME": str(folder), "HTTPS_PROXY": "http://localhost:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = set()
    for report in json.loads(done.stdout):
        assert report["summary"]["parsing_errors"] == 0
        assert report["summary"]["passed"]
        for each in report["results"]["failed_checks"]:
            found.add((Path(each["file_path"]).name, each["resource"], each["check_id"]))
    return found


def test_checkov_would_find_something(checked: set[tuple[str, str, str]]) -> None:
    assert ("bad.json", "AWS::S3::Bucket.B", "CKV_AWS_18") in checked


@pytest.mark.parametrize("file", ["committed.json", "Dockerfile"])
def test_checkov_finds_nothing_in_what_is_committed(file: str, checked: set[tuple[str, str, str]]) -> None:
    assert [each for each in checked if each[0] == file] == []


def test_checkov_finds_nothing_without_a_reason_and_every_reason_is_needed(
    stacks: dict[str, Template], checked: set[tuple[str, str, str]]
) -> None:
    """Without its metadata a resource fails for just those rules that the metadata gives a reason for."""
    accepted = {each for file, stack in stacks.items() for each in skips(file, stack)}
    found = {each for each in checked if each[0] in stacks}
    assert found - accepted == set()
    # A choice may make a reason idle, such as concurrency that is reserved after all; not every choice may.
    assert {(base(name), rule) for _, name, rule in accepted} == {
        (base(name), rule) for _, name, rule in found
    }


def skips(file: str, stack: Template) -> Iterator[tuple[str, str, str]]:
    for name, resource in stack["Resources"].items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert len(skip["comment"].split()) >= 5, skip
            yield file, f"{resource['Type']}.{name}", skip["id"]


def test_hadolint_finds_nothing_in_the_image_and_what_it_ignores_has_a_reason() -> None:
    assert hadolint(DOCKERFILE) == []
    ignored = re.findall(r"(?:checkov:skip=\w+|hadolint ignore=\w+)(.*)", DOCKERFILE.read_text())
    assert all(len(reason.split()) >= 5 for reason in ignored)


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(BAD_DOCKERFILE)
    assert {"DL3007", "DL3013"} <= {each["code"] for each in hadolint(bad)}


def hadolint(dockerfile: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--no-color", "--format", "json", dockerfile],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_acknowledgement_gives_a_reason_at_one_construct() -> None:
    """Nothing is acknowledged for the whole app or stack, and nothing in a word or two."""
    for path in sorted((ROOT / "infra").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id == "acknowledge":
                assert ast.unparse(call.args[0]) not in ("self", "app", "stack"), path.name
        for rule, reason in _reasons(tree):
            assert len(reason.split()) >= 5, f"{path.name}: {rule}: {reason}"


def _reasons(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Find every rule's reason that is written out beside the rule."""
    for each in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
        for pair in zip(each.keys, each.values, strict=True):
            match pair:
                case ast.Constant(value=str(rule)), ast.Constant(value=str(reason)):
                    if rule.startswith(("AwsSolutions-", "Serverless-", "NIST.", "CKV_")):
                        yield rule, reason
