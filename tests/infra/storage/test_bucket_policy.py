"""What the bucket keeps people, an administrator among them, and jobs from, in both profiles."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

import pytest

from tests.infra.iam.test_abuse import resolve
from tests.infra.test_template import the_bucket
from tests.support.iam.judge import EVERYTHING, Policies, Question, decide, decide_all, document, find_wrong
from tests.support.iam.policy_mutants import Statement, mutants
from tests.support.iam.role_table import (
    ACCOUNT,
    BREAK_GLASS_ROLE,
    BUCKET,
    FUNCTION_ROLE,
    PIPELINE_ROLE,
    ROLES,
    UPLOADER_ROLE,
)
from tests.support.infra.profiles import PROFILES, Template

SCORE = 0.95
LETS_EVERYBODY = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [BUCKET, f"{BUCKET}/*"],
}
"""What lets in other accounts and services, too, whom their own policies alone let into no bucket."""

READING = (
    *("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAcl", "s3:GetObjectTagging"),
    *("s3:GetObjectAttributes", "s3:GetObjectVersionTagging", "s3:ListMultipartUploadParts"),
)
CHANGING = (
    *("s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectVersionAcl", "s3:PutObjectTagging"),
    *("s3:PutObjectVersionTagging", "s3:PutObjectRetention", "s3:PutObjectLegalHold"),
    *("s3:DeleteObject", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    *("s3:AbortMultipartUpload", "s3:RestoreObject", "s3:InitiateReplication"),
    *("s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"),
    *("s3:ObjectOwnerOverrideToBucketOwner", "s3:BypassGovernanceRetention"),
    "s3:UpdateObjectEncryption",
    # Of the future, which a list of what is denied would miss.
    (INVENTED := "s3:RewriteObject"),
)
"""S3's actions which make, change, tag, hide, restore or replicate an object; in parts, it is PutObject."""
FOR_GOOD = "s3:DeleteObjectVersion"


@dataclass(frozen=True)
class Who:
    """A principal that other policies allow everything."""

    arn: str
    service: str = ""

    @property
    def context(self) -> dict[str, str]:
        return {"aws:SecureTransport": "true"} | ({"aws:PrincipalArn": self.arn} if self.arn else {})


WRITERS = {
    "default": {"verdicts/": FUNCTION_ROLE},
    "hardened": {"pipeline/": UPLOADER_ROLE, "verdicts/": FUNCTION_ROLE},
}
"""Who alone writes below a prefix; below pipeline/ by default whoever is let by other policies."""
PEOPLE = [
    Who(arn)
    for arn in (
        f"arn:aws:iam::{ACCOUNT}:user/administrator",
        f"arn:aws:iam::{ACCOUNT}:root",
        f"{ROLES}/admin",
        f"{ROLES}/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-us-east-1",
        UPLOADER_ROLE,
        BREAK_GLASS_ROLE,
        FUNCTION_ROLE,
        PIPELINE_ROLE,
        # Nearly the ones.
        *(f"{role}-2" for role in (UPLOADER_ROLE, FUNCTION_ROLE, BREAK_GLASS_ROLE, PIPELINE_ROLE)),
        *(role.replace("role/", "role/team/") for role in (UPLOADER_ROLE, FUNCTION_ROLE, BREAK_GLASS_ROLE)),
        *(role.replace(ACCOUNT, "999999999999") for role in (UPLOADER_ROLE, FUNCTION_ROLE, BREAK_GLASS_ROLE)),
    )
]
SERVICE = Who("", "s3.amazonaws.com")
KEYS = (
    *("pipeline/pipeline.json", "pipeline/night/parameters.json", "pipeline/notes.txt", "pipeline/"),
    *("verdicts/pipeline/pipeline.json/v1.json", "verdicts/"),
    *("data/a", "executions/1/a", "checkpoints/a", "pipeline", "pipelines/a", "verdicts-2/a", "a/pipeline/b"),
)


def policy_statements(template: Template) -> list[Statement]:
    """Return the statements of the policy of the bucket that people and jobs use."""
    (name,) = (name for name, each in template["Resources"].items() if each == the_bucket(template))
    (found,) = (
        each["Properties"]["PolicyDocument"]["Statement"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::S3::BucketPolicy" and each["Properties"]["Bucket"] == {"Ref": name}
    )
    arn = re.escape(json.dumps({"Fn::GetAtt": [name, "Arn"]}))
    document = json.loads(re.sub(arn, json.dumps(BUCKET), json.dumps(found)))
    statements: list[Statement] = resolve(document)
    return statements


STATEMENTS = {profile: policy_statements(template) for profile, template in PROFILES.items()}
OURS = {
    profile: [each for each in found if each.get("Sid", "").startswith(("Only", "NoJob"))]
    for profile, found in STATEMENTS.items()
}
BOTH = pytest.mark.parametrize("profile", PROFILES)


def policies(statements: list[Statement]) -> Policies:
    return Policies(identity=[EVERYTHING], resource=document(*statements, LETS_EVERYBODY))


def question(who: Who, action: str, key: str) -> Question:
    name = who.service or who.arn
    return Question(name, action, f"{BUCKET}/{key}", who.context, invented=action == INVENTED)


def expected(profile: str, who: Who, action: str, key: str) -> bool:
    """Return what the bucket is to let somebody do whom everything else lets do everything."""
    prefix = key.partition("/")[0] + "/"
    if prefix not in ("pipeline/", "verdicts/") or "/" not in key:
        return True
    if who.arn == PIPELINE_ROLE:
        return False
    if action == FOR_GOOD:
        return profile == "default" or who.arn == BREAK_GLASS_ROLE
    return action in READING or WRITERS[profile].get(prefix, who.arn) == who.arn


REQUESTS = list(itertools.product([*PEOPLE, SERVICE], (*READING, *CHANGING, FOR_GOOD), KEYS))


@BOTH
@pytest.mark.parametrize("who", PEOPLE, ids=lambda who: who.arn)
def test_a_prefix_with_a_writer_has_one_and_so_have_its_versions_where_it_is_hardened(
    who: Who, profile: str
) -> None:
    asked = [each for each in REQUESTS if each[0] == who]
    decisions = decide_all([question(*each) for each in asked], policies(STATEMENTS[profile]))
    wrong = [
        (each[1:], decision)
        for each, decision in zip(asked, decisions, strict=True)
        if decision.allowed != expected(profile, *each) or decision.ignored
    ]
    assert wrong == []


@pytest.mark.parametrize("action", [*CHANGING, FOR_GOOD])
@pytest.mark.parametrize("key", ["pipeline/pipeline.json", "verdicts/a"])
def test_a_service_without_a_principal_s_arn_is_kept_out_too(action: str, key: str) -> None:
    (decision,) = decide_all([question(SERVICE, action, key)], policies(STATEMENTS["hardened"]))
    assert decision.word == "ExplicitlyDenied"
    (decision,) = decide_all([question(SERVICE, action, key)], policies(STATEMENTS["default"]))
    assert (decision.word == "ExplicitlyDenied") == (key == "verdicts/a" and action != FOR_GOOD)


@pytest.mark.parametrize(
    "action",
    [
        *("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketVersioning", "s3:DeleteBucket"),
        *("s3:PutLifecycleConfiguration", "s3:PutBucketNotification", "s3:ListBucketVersions"),
    ],
)
@BOTH
def test_whoever_deploys_is_never_locked_out_of_the_bucket_itself(profile: str, action: str) -> None:
    deployer = next(each for each in PEOPLE if "cfn-exec" in each.arn)
    given = document(*STATEMENTS[profile])
    context = deployer.context
    assert decide(deployer.arn, action, BUCKET, context, identity=[EVERYTHING], resource_policy=given).allowed


@pytest.mark.parametrize(("profile", "count"), [("default", 2), ("hardened", 4)])
def test_a_change_in_one_place_of_the_policy_is_noticed(profile: str, count: int) -> None:
    assert len(OURS[profile]) == count
    rest = [each for each in STATEMENTS[profile] if each not in OURS[profile]]
    changed = list(mutants(OURS[profile]))
    noticed = find_wrong(
        [(question(*each), expected(profile, *each)) for each in REQUESTS],
        [policies([*rest, *each.statements]) for each in changed],
    )
    survivors = [each.what for each, by in zip(changed, noticed, strict=True) if by is None]
    score = 1 - len(survivors) / len(changed)
    assert score >= SCORE, f"{len(survivors)} of {len(changed)} went unnoticed:\n" + "\n".join(survivors)


@pytest.mark.parametrize(
    ("profile", "roles"),
    [
        ("default", {FUNCTION_ROLE, PIPELINE_ROLE}),
        ("hardened", {FUNCTION_ROLE, PIPELINE_ROLE, UPLOADER_ROLE, BREAK_GLASS_ROLE}),
    ],
)
def test_the_policy_and_the_roles_name_each_other_by_the_same_arn(profile: str, roles: set[str]) -> None:
    named = {
        condition["aws:PrincipalArn"] for each in OURS[profile] for condition in each["Condition"].values()
    }
    made = {
        f"{ROLES}/{resolve(each['Properties']['RoleName'])}"
        for each in PROFILES[profile]["Resources"].values()
        if each["Type"] == "AWS::IAM::Role"
    }
    assert named == roles == made
