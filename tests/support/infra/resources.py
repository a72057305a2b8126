"""What a template has: resources by their type, and values with CloudFormation's own parameters filled in."""

from __future__ import annotations

import re
from typing import Any

from tests.support.iam.role_table import DATA_KEY


def resources(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the resources of a type."""
    return [resource for resource in template["Resources"].values() if resource["Type"] == kind]


def the_only(template: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the one resource of a type."""
    (resource,) = resources(template, kind)
    return resource


def the_bucket(template: dict[str, Any]) -> dict[str, Any]:
    """Return the bucket that people and jobs use, not that of its access logs."""
    (bucket,) = (
        each
        for each in resources(template, "AWS::S3::Bucket")
        if "NotificationConfiguration" in each["Properties"]
    )
    return bucket


PSEUDO_PARAMETERS = {
    "AWS::StackName": "cv-birds",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::URLSuffix": "amazonaws.com",
    "SageMakerProjectId": "p-abc123def456",
}


def resolve(value: Any) -> Any:
    """Return a template's value with the pseudo parameters filled in."""
    match value:
        case {"Ref": str(name)}:
            return PSEUDO_PARAMETERS[name]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: PSEUDO_PARAMETERS[found[1]], text)
        case {"Fn::GetAtt": [str(name), "Arn"]} if name.startswith("EncryptionKey"):
            return DATA_KEY
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(resolve(part) for part in parts)
        case dict():
            return {key: resolve(each) for key, each in value.items()}
    return [resolve(each) for each in value] if isinstance(value, list) else value
