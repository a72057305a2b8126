"""Who asks the bucket for what, and what its policy is to answer in both profiles."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

from tests.support.iam.judge import EVERYTHING, Policies, Question, document
from tests.support.iam.policy_mutants import Statement
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
from tests.support.infra.resources import resolve, the_bucket

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
