"""Fill the bucket that Studio reads templates from: the custom resource behind `-c studio_template=`.

CloudFormation calls `handler` with what to copy into the bucket, and with the domain whose Studio is to look
there. When the stack goes, everything goes that was put there. The source is part of the template, which has
room for 4,096 characters of it.
"""

import json
import urllib.request
from typing import Any

import boto3

LOCATION = "sagemaker:projectS3TemplatesLocation"


def handler(event: dict[str, Any], _: Any) -> None:
    """Do what CloudFormation asks for and tell it how that went, or it would wait for its time to be over."""
    given = event["ResourceProperties"]
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"PhysicalResourceId": given["Bucket"], "Status": "SUCCESS"}
    try:
        if event["RequestType"] == "Delete":
            remove(given)
        else:
            publish(given, event.get("OldResourceProperties", {}))
    except Exception as error:  # noqa: BLE001 - whatever it is, CloudFormation waits
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"}
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")  # noqa: S310
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - CloudFormation's own address


def publish(given: dict[str, Any], before: dict[str, Any]) -> None:
    """Copy the objects, and let Studio look for them; versions of earlier deployments stay."""
    s3 = boto3.client("s3")
    for each in given["Objects"]:
        s3.copy_object(
            Bucket=given["Bucket"],
            Key=each["Key"],
            CopySource={"Bucket": each["FromBucket"], "Key": each["FromKey"]},
            TaggingDirective="REPLACE",
            Tagging=each.get("Tagging", ""),
        )
    if before.get("DomainArn") != given.get("DomainArn"):
        forget(before)
    if "DomainArn" in given:
        tags = [{"Key": LOCATION, "Value": given["Location"]}]
        boto3.client("sagemaker").add_tags(ResourceArn=given["DomainArn"], Tags=tags)


def remove(given: dict[str, Any]) -> None:
    """Empty the bucket, so that it can be deleted."""
    forget(given)
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=given["Bucket"]):
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=given["Bucket"], Key=each["Key"], VersionId=each["VersionId"])


def forget(given: dict[str, Any]) -> None:
    """Let a domain's Studio look there no more."""
    if "DomainArn" in given:
        boto3.client("sagemaker").delete_tags(ResourceArn=given["DomainArn"], TagKeys=[LOCATION])
