"""The scanners find nothing that nobody answered for: cdk-nag at synthesis, cfn-lint on the template."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from studio_offers import OFFERS
from test_infra_template import synthesis

__all__ = ["synthesis"]

ROOT = Path(__file__).parents[1]
EVERY_OPTION: dict[str, Any] = {
    "project": "a-name-of-thirty-letters-aaaaa",
    "training_image_uri": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/birds@sha256:{'a' * 64}",
    "reserved_concurrency": 1,
    "on_running": "stop",
    "subnet_ids": "subnet-0123456789abcdef0, subnet-0123456789abcdef1",
    "security_group_ids": ["sg-0123456789abcdef0"],
    "encrypt_volumes": True,
    "training_instance_types": "ml.c5.4xlarge",
    "executions_expire_days": 60,
    "checkpoints_expire_days": None,
    "retain_data": False,
    "encryption_key": "arn:aws:kms:eu-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    "former_encryption_keys": ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    "notify_email": "team@example.com",
    "permissions_boundary": "edge",
    "uploader_arns": ["arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*"],
    "break_glass_arns": ["arn:aws:iam::123456789012:user/jo"],
    "break_glass_requires_mfa": False,
    "tags": {"owner": "ml"},
}
STUDIO = (
    {**EVERY_OPTION, **OFFERS["s3"], "studio_domain_id": "d-abc123"},
    {**EVERY_OPTION, **OFFERS["catalog"]},
)


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


@pytest.mark.parametrize(
    "context",
    [
        {},
        EVERY_OPTION,
        {"alarm_topic_arn": "arn:aws:sns:eu-west-1:123456789012:ours"},
        {"encryption_key": "s3"},
        {"create_vpc": True},
        *STUDIO,
    ],
    ids=[
        "default",
        "every option",
        "own topic",
        "s3's keys",
        "own VPC",
        "Studio from a bucket",
        "Studio's catalog",
    ],
)
def test_neither_cdk_nag_nor_cfn_lint_finds_anything(
    synthesis: ModuleType, tmp_path: Path, context: dict[str, Any]
) -> None:
    path = tmp_path / "template.json"
    # The synthesis itself raises for what cdk-nag finds.
    path.write_text(synthesis.render(synthesis.synthesise(context)), encoding="utf-8")
    assert findings(path) == []


def test_cfn_lint_finds_nothing_in_the_committed_template() -> None:
    assert findings(ROOT / "infra" / "template.json") == []


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"Nmae": 1}}}}))
    assert findings(path)


def findings(template: Path) -> list[dict[str, Any]]:
    """Run cfn-lint, warnings included, with the service models that it carries."""
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", template],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def test_every_acknowledgement_gives_a_reason_at_one_construct() -> None:
    """Nothing is acknowledged for the whole app or stack, and nothing in a word or two."""
    for path in sorted((ROOT / "infra").glob("*.py")):
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
                    if rule.startswith(("AwsSolutions-", "Serverless-", "NIST.")):
                        yield rule, reason
