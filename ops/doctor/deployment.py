"""What a deployment consists of, as AWS has it now: its stack, function, bucket, roles and key."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ops.aws import roles
from ops.aws.session import ClientFactory, on_this_machine
from ops.aws.stack import StackOutputs, deployment, function_name
from ops.doctor.diagnosis import REVERT_DRIFT, Diagnosis, Looking, advice, asking, ok, problem
from ops.errors import AbsentError, RoleRefusedError, error_code

if TYPE_CHECKING:
    from upload_trigger.settings import Settings

PREFIX, SUFFIX = "pipeline/", "pipeline.json"
"""What the bucket tells the function of: infra/names.py."""
CREATED = "s3:ObjectCreated:*"
TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent"}
"""What S3 sends when a notification is set up: the function starts, and does nothing more."""
GONE = frozenset({"404", "NoSuchBucket", "NoSuchEntity", "NotFoundException", "ResourceNotFoundException"})
NEVER_MADE = ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
"""States of a stack that cannot be deployed to before it is deleted."""


@dataclass(frozen=True)
class DeployedFunction:
    """The function that an upload invokes, as Lambda describes it."""

    name: str
    configuration: Mapping[str, Any]
    settings: Settings

    @property
    def arn(self) -> str:
        """Return its ARN."""
        return str(self.configuration["FunctionArn"])


def find_stack(clients: ClientFactory, name: str) -> Looking[StackOutputs | None]:
    """Yield whether the stack is there and whole, and return its outputs."""
    cloudformation = clients.client("cloudformation")
    local = on_this_machine(cloudformation)
    try:
        found = deployment(cloudformation, name)
    except AbsentError as error:
        mend = "python -m local up --env-file local.env" if local else "make deploy"
        yield problem("stack", error.message, mend)
        return None
    status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    told = f"{name} is {status}"
    if status in NEVER_MADE:
        remove = f"make destroy ARGS='--stack {name}' && make deploy"
        yield problem("stack", f"{told}: it was never made whole", remove)
        return None
    if status == "UPDATE_ROLLBACK_FAILED":
        go_on = f"aws cloudformation continue-update-rollback --stack-name {name}"
        yield advice("stack", f"{told}: no deployment reaches it before that is mended", go_on)
    elif status.endswith("IN_PROGRESS"):
        wait = f"aws cloudformation wait stack-{_change(status)}-complete --stack-name {name}"
        # While it is made or deleted, what an upload needs may be missing.
        tell = advice if _change(status) == "update" else problem
        yield tell("stack", f"{told}: wait for its end", wait)
    else:
        yield ok("stack", told)
    return found


def _change(status: str) -> str:
    """Return what is being done to a stack, as `aws cloudformation wait` calls it."""
    begun = status.partition("_")[0]
    return begun.lower() if begun in ("CREATE", "DELETE", "IMPORT") else "update"


def find_function(clients: ClientFactory, stack: str) -> Looking[DeployedFunction | None]:
    """Yield whether the function can be invoked, and return it with its settings."""
    from upload_trigger.settings import Settings, SettingsError  # noqa: PLC0415

    name = function_name(clients.client("cloudformation"), stack)
    try:
        configuration = clients.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        yield problem("function", f"{name} is in the stack and not in Lambda", REVERT_DRIFT)
        return None
    try:
        settings = Settings.read(configuration.get("Environment", {}).get("Variables", {}))
    except SettingsError as error:
        yield problem("function", f"{name}: {error}", REVERT_DRIFT)
        return None
    yield _state(name, configuration)
    return DeployedFunction(name, configuration, settings)


def _state(name: str, configuration: Mapping[str, Any]) -> Diagnosis:
    state, update = configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
    runtime = configuration.get("Runtime", "a runtime of its own")
    if state == "Pending":
        # Lambda keeps the events of a function that is being made, and invokes it later.
        wait = f"aws lambda wait function-active-v2 --function-name {name}"
        return advice("function", f"{name} is {state}, and starts nothing before it is Active", wait)
    if state not in ("Active", "Inactive"):  # an idle one wakes up when it is invoked
        why = configuration.get("StateReason", "no reason given")
        return problem("function", f"{name} is {state}: {why}", REVERT_DRIFT)
    if update == "Failed":
        why = configuration.get("LastUpdateStatusReason", "no reason given")
        return problem("function", f"the last update of {name} failed: {why}", REVERT_DRIFT)
    return ok("function", f"{name} is {state}, {runtime}")


def runtime(clients: ClientFactory, function: DeployedFunction) -> Looking[None]:
    """Yield whether the function's code starts, its runtime's SDK among it; S3's test event asks no more."""
    functions, name = clients.client("lambda"), function.name
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(TEST_EVENT).encode())
    except ClientError as error:
        if error_code(error) != "TooManyRequestsException":
            raise
        # Zero is how a function is switched off; a busy account says the same.
        lift = f"aws lambda delete-function-concurrency --function-name {name}"
        yield problem("runtime", f"Lambda lets no more of {name} run at once: uploads wait for hours", lift)
        return
    body = answer["Payload"].read()
    if not answer.get("FunctionError"):
        yield ok("runtime", f"{name} starts, and its SDK knows what it needs")
        return
    said = json.loads(body).get("errorMessage", "it gave no reason")
    mend = f"aws logs tail /aws/lambda/{name} --since 10m"
    if "botocore" in said:
        mend = f"aws lambda put-runtime-management-config --function-name {name} --update-runtime-on Auto"
    yield problem("runtime", f"{name} does not start: {said}", mend)


def bucket(clients: ClientFactory, name: str) -> Looking[None]:
    """Yield whether the bucket is there and keeps versions, without which no upload is told from the next."""
    try:
        status = clients.client("s3").get_bucket_versioning(Bucket=name).get("Status", "off")
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        yield problem("bucket", f"there is no bucket {name}", REVERT_DRIFT)
        return
    if status == "Enabled":
        yield ok("bucket", f"{name} keeps versions")
        return
    enable = f"aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled"
    yield problem("bucket", f"{name} keeps no versions: uploads would stay without a verdict", enable)


def notification(clients: ClientFactory, bucket: str, function: DeployedFunction) -> Looking[None]:
    """Yield whether the bucket tells the function of uploads."""
    try:
        found = clients.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        yield problem("notification", f"there is no bucket {bucket}", REVERT_DRIFT)
        return
    if any(_tells(each, function) for each in found.get("LambdaFunctionConfigurations", [])):
        yield ok("notification", f"{bucket} tells {function.name} of {PREFIX}*{SUFFIX}")
        return
    said = f"{bucket} does not tell {function.name} of {PREFIX}*{SUFFIX}, so an upload would start nothing"
    yield problem("notification", said, REVERT_DRIFT)


def _tells(each: Mapping[str, Any], function: DeployedFunction) -> bool:
    rules = each.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    kept = {str(rule["Name"]).lower(): str(rule.get("Value", "")) for rule in rules}
    return (
        each["LambdaFunctionArn"] == function.arn
        and CREATED in each["Events"]
        and PREFIX.startswith(kept.get("prefix", ""))
        and SUFFIX.endswith(kept.get("suffix", ""))
    )


def permission(clients: ClientFactory, bucket: str, function: DeployedFunction) -> Looking[None]:
    """Yield whether the function lets S3 invoke it for the bucket."""
    account, partition = function.arn.split(":")[4], function.arn.split(":")[1]
    source = f"arn:{partition}:s3:::{bucket}"
    try:
        text = clients.client("lambda").get_policy(FunctionName=function.name)["Policy"]
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        text = "{}"
    if any(_lets_s3(each, source) for each in json.loads(text).get("Statement", [])):
        yield ok("permission", f"{function.name} lets S3 invoke it for {bucket}")
        return
    allow = (
        f"aws lambda add-permission --function-name {function.name} --statement-id upload --action "
        f"lambda:InvokeFunction --principal s3.amazonaws.com --source-account {account} --source-arn {source}"
    )
    yield problem("permission", f"{function.name} does not let S3 invoke it for {bucket}", allow)


def _lets_s3(statement: Mapping[str, Any], source: str) -> bool:
    principal = statement.get("Principal")
    service = principal.get("Service") if isinstance(principal, dict) else principal
    tested = [
        value
        for tests in statement.get("Condition", {}).values()
        for key, value in tests.items()
        if key.lower() == "aws:sourcearn"
    ]
    return statement.get("Effect") == "Allow" and service == "s3.amazonaws.com" and tested in ([], [source])


def role(clients: ClientFactory, arn: str, service: str) -> Looking[None]:
    """Yield whether a role is there and lets `service` work with it."""
    name = arn.rpartition("/")[2]
    try:
        found = clients.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        yield problem("role", f"there is no role {name}, which {service} works with", REVERT_DRIFT)
        return
    trusted = [
        each["Principal"].get("Service")
        for each in found["AssumeRolePolicyDocument"]["Statement"]
        if each["Effect"] == "Allow" and isinstance(each.get("Principal"), dict)
    ]
    if service in trusted or any(isinstance(each, list) and service in each for each in trusted):
        yield ok("role", f"{name} trusts {service}")
        return
    yield problem("role", f"role {name} does not trust {service}", REVERT_DRIFT)


def uploader(clients: ClientFactory, deployed: StackOutputs) -> Looking[None]:
    """Yield whether the person may work as the uploader role, where a hardened stack has one."""
    arn = deployed.outputs.get("UploaderRoleArn")
    if arn is None:
        return
    try:
        roles.assume(clients, arn)
    except RoleRefusedError as error:
        allowed = json.dumps({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn})
        document = f'{{"Version": "2012-10-17", "Statement": [{allowed}]}}'
        allow = (
            "aws iam put-user-policy --user-name <you> --policy-name upload --policy-document "
            f"{shlex.quote(document)}"
        )
        yield problem("uploader role", error.message.splitlines()[0], allow)
        return
    yield ok("uploader role", f"you may work as {arn}")


def key(clients: ClientFactory, arn: str | None) -> Looking[None]:
    """Yield whether the key that data is encrypted with can be used."""
    if not arn:
        yield ok("key", "S3's own encryption: there is no key")
        return
    try:
        state = clients.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        said = f"there is no key {arn}: what it encrypted cannot be read"
        yield problem("key", said, "make deploy ARGS='-c encryption_key=s3'")
        return
    enable = f"aws kms enable-key --key-id {arn}"
    if state == "PendingDeletion":
        enable = f"aws kms cancel-key-deletion --key-id {arn} && {enable}"
    if state == "Enabled":
        yield ok("key", f"{arn} is {state}")
    else:
        yield problem("key", f"{arn} is {state}: nothing can be read or written with it", enable)


def all_of(clients: ClientFactory, deployed: StackOutputs, function: DeployedFunction) -> Looking[None]:
    """Yield what is known of everything that the stack deployed, its function apart."""
    name, settings = deployed.bucket, function.settings
    function_role = str(function.configuration.get("Role", ""))
    yield from asking("runtime", runtime(clients, function))
    yield from asking("bucket", bucket(clients, name))
    yield from asking("notification", notification(clients, name, function))
    yield from asking("permission", permission(clients, name, function))
    yield from asking("role", role(clients, settings.role_arn, "sagemaker.amazonaws.com"))
    yield from asking("role", role(clients, function_role, "lambda.amazonaws.com"))
    yield from asking("uploader role", uploader(clients, deployed))
    yield from asking("key", key(clients, settings.parameters.get("OutputKmsKeyId")))
