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
from tests.support.infra.cfn_lint import findings
from tests.support.infra.stack_options import OPTIONS, Template, template

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


@pytest.fixture(scope="module")
def stacks(synthesis: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Template]:
    """Write a template for each way in which a choice changes the stack, and that of Studio's projects."""
    folder = tmp_path_factory.mktemp("stacks")
    kinds = {option.everything or frozenset(option.changes): name for name, option in OPTIONS.items()}
    written = {folder / f"{number}.json": template(name) for number, name in enumerate(kinds.values())}
    written[folder / "project.json"] = studio_offers.project(synthesis)
    for path, stack in written.items():
        path.write_text(synthesis.render(stack), encoding="utf-8")
    return written


def test_neither_cdk_nag_nor_cfn_lint_finds_anything_whatever_is_chosen(stacks: dict[Path, Template]) -> None:
    assert findings(*stacks) == []


def test_cfn_lint_finds_nothing_in_the_committed_template() -> None:
    assert findings(TEMPLATE) == []


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"Nmae": 1}}}}))
    assert findings(path)


# --- checkov and hadolint ------------------------------------------------------------------------------


def checkov(folder: Path, framework: str) -> set[tuple[str, str, str]]:
    """Return what checkov finds in a folder, without a network: file, resource and rule of each finding."""
    assert CHECKOV.exists(), f"{CHECKOV} is not there: `make test` installs it"
    done = subprocess.run(
        [CHECKOV, "-d", folder, "--framework", framework, "--skip-download", "--compact", "-o", "json"],
        env={"PATH": os.defpath, "HOME": str(folder), "HTTPS_PROXY": "http://localhost:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"]
    return {
        (Path(each["file_path"]).name, each["resource"], each["check_id"])
        for each in report["results"]["failed_checks"]
    }


def test_checkov_finds_nothing_in_what_is_committed(tmp_path: Path) -> None:
    shutil.copy(TEMPLATE, tmp_path)
    assert checkov(tmp_path, "cloudformation") == set()


def test_checkov_finds_nothing_without_a_reason_and_every_reason_is_needed(
    stacks: dict[Path, Template], tmp_path: Path
) -> None:
    """Without its metadata a resource fails for just those rules that the metadata gives a reason for."""
    accepted = {each for path, stack in stacks.items() for each in skips(path.name, stack)}
    for path, stack in stacks.items():
        bare = {name: without_metadata(each) for name, each in stack["Resources"].items()}
        (tmp_path / path.name).write_text(json.dumps({**stack, "Resources": bare}))
    found = checkov(tmp_path, "cloudformation")
    assert found - accepted == set()
    # A choice may make a reason idle, such as concurrency that is reserved after all; not every choice may.
    assert {each[1:] for each in accepted} == {each[1:] for each in found}


def without_metadata(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "Metadata"}


def skips(file: str, stack: Template) -> Iterator[tuple[str, str, str]]:
    for name, resource in stack["Resources"].items():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert len(skip["comment"].split()) >= 5, skip
            yield file, f"{resource['Type']}.{name}", skip["id"]


def test_checkov_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "template.json").write_text(json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}))
    assert ("template.json", "AWS::S3::Bucket.B", "CKV_AWS_18") in checkov(tmp_path, "cloudformation")


def test_neither_checkov_nor_hadolint_finds_anything_in_the_image(tmp_path: Path) -> None:
    shutil.copy(DOCKERFILE, tmp_path)
    assert checkov(tmp_path, "dockerfile") == set()
    assert hadolint(DOCKERFILE) == []
    ignored = re.findall(r"(?:checkov:skip=\w+|hadolint ignore=\w+)(.*)", DOCKERFILE.read_text())
    assert all(len(reason.split()) >= 5 for reason in ignored)


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN pip install boto3\n")
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
