"""What the bucket keeps people, an administrator among them, and jobs from, in both profiles."""

from __future__ import annotations

import pytest

from tests.support.iam.bucket_requests import (
    CHANGING,
    FOR_GOOD,
    OURS,
    PEOPLE,
    REQUESTS,
    SERVICE,
    STATEMENTS,
    Who,
    expected,
    policies,
    question,
)
from tests.support.iam.judge import EVERYTHING, decide, decide_all, document, find_wrong
from tests.support.iam.policy_mutants import mutants
from tests.support.iam.role_table import (
    BREAK_GLASS_ROLE,
    BUCKET,
    FUNCTION_ROLE,
    PIPELINE_ROLE,
    ROLES,
    UPLOADER_ROLE,
)
from tests.support.infra.profiles import PROFILES
from tests.support.infra.resources import resolve

SCORE = 0.95


BOTH = pytest.mark.parametrize("profile", PROFILES)


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
