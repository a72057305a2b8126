"""The live checks: the document's names, and the script that asks AWS the first ten."""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from click.testing import CliRunner, Result

from tests.support.services.direct_client import service_model
from tests.support.services.fake_execution import client_of
from tools import live_checks
from tools.live_checks import JUDGES, LiveCheck, first_ten, main, only_reads, rows
from tools.reference import DOCS, ROOT
from upload_trigger.policy.prices import PRICES

TEXT = (DOCS / "live-checks.md").read_text(encoding="utf-8")
REST = rows(TEXT, "The rest")
NAMES = [each.name for each in (*first_ten(), *REST)]
ACCOUNT, REGION = "123456789012", "us-east-1"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
EXECUTION = f"{SAGEMAKER}:pipeline/cv-birds/execution/e1"
EARLIER = f"{SAGEMAKER}:pipeline/cv-birds/execution/e0"
FUNCTION, QUEUE, JOB = "cv-birds-start-execution", "cv-birds-failures", "pipelines-e1-TrainSpot-x"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cv-birds-training@sha256:{'a' * 64}"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DEFINITION = (ROOT / "pipeline_definition" / "pipeline.json").read_text(encoding="utf-8")
CHECKPOINTS = "checkpoints/cv-birds/0123456789abcdef/checkpoint-{}.pt"


class FakeAccount:
    """AWS in memory, behind real boto3 clients: answers by operation, held against botocore's model."""

    def __init__(self) -> None:
        self.answers = deployed_and_run()
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []

    def __call__(self, service: str, region: str | None) -> Any:
        """Make a client."""
        client = client_of(service)

        def build(params: dict[str, Any], model: Any, **_: Any) -> None:
            self.asked.append((model.name, region, dict(params)))

        def answer(model: Any, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
            given = self.asked[-1][2]
            body = self.answers[model.name]
            body = body(given) if callable(body) else body
            if "Error" in body:
                return SimpleNamespace(status_code=400), body | {"ResponseMetadata": {"HTTPStatusCode": 400}}
            shape = service_model(service).operation_model(model.name).output_shape
            report = ParamValidator().validate(body, shape)
            assert not report.has_errors(), (model.name, report.generate_report())
            return SimpleNamespace(status_code=200), body | {"ResponseMetadata": {"HTTPStatusCode": 200}}

        client.meta.events.register_first("before-parameter-build", build)
        client.meta.events.register_first("before-call", answer)
        return client

    def operations(self) -> set[str]:
        """Return what was asked."""
        return {name for name, _, _ in self.asked}


def refusal(code: str, message: str = "") -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": message}}


def quota(name: str, value: float) -> dict[str, Any]:
    return {"QuotaName": name, "Value": value}


def step(name: str, **more: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": "Succeeded", **more}


def steps_of(definition: Any) -> Iterator[str]:
    for each in definition:
        yield each["Name"]
        for branch in ("IfSteps", "ElseSteps"):
            yield from steps_of(each.get("Arguments", {}).get(branch, ()))


def metrics(*rules: str) -> dict[str, Any]:
    return {
        "Metrics": [{"Dimensions": [{"Name": "RuleName", "Value": f"cv-birds-{rule}"}]} for rule in rules]
    }


def price(usage: str, usd: float) -> dict[str, Any]:
    dimension = {"pricePerUnit": {"USD": f"{usd:.10f}"}}
    product = {"product": {"attributes": {"usagetype": usage}}}
    return {
        "PriceList": [
            json.dumps(product | {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}}})
        ]
    }


def checkpoint(number: int, size: int, folder: str = CHECKPOINTS, minutes: int = 0) -> dict[str, Any]:
    return {"Key": folder.format(number), "Size": size, "LastModified": NOW + timedelta(minutes=minutes)}


def training_job(**more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": JOB,
        "TrainingJobArn": f"{SAGEMAKER}:training-job/{JOB}",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model.tar.gz"},
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 30},
        "SecondaryStatus": "Completed",
        "CreationTime": NOW,
        "TrainingJobStatus": "Completed",
        "TrainingEndTime": NOW,
        "BillableTimeInSeconds": 700,
        "StoppingCondition": {"MaxRuntimeInSeconds": 14400},
        "SecondaryStatusTransitions": [{"Status": "Interrupted", "StartTime": NOW}],
        "HyperParameters": {"learning-rate": "0.003"},
        **more,
    }


def model_package(**properties: str) -> dict[str, Any]:
    return {
        "ModelPackageName": "cv-birds",
        "ModelPackageArn": f"{SAGEMAKER}:model-package/cv-birds/7",
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "CreationTime": NOW,
        "CustomerMetadataProperties": properties,
    }


def list_prices(given: Mapping[str, Any]) -> dict[str, Any]:
    usage = given["Filters"][0]["Value"]
    return price(usage, PRICES[usage.partition(":")[2]])


def deployed_and_run() -> dict[str, Any]:
    """Return the answers of an account in which all is as assumed."""
    outputs = {
        "BucketName": "bucket",
        "PipelineName": "cv-birds",
        "FailureQueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}",
        "PipelineExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/cv-birds-pipeline",
    }
    definition = json.loads(DEFINITION)
    metadata = {
        "TrainSpot": {"TrainingJob": {"Arn": f"{SAGEMAKER}:training-job/{JOB}"}},
        "RegisterSpot": {"RegisterModel": {"Arn": f"{SAGEMAKER}:model-package/cv-birds/7"}},
    }
    stack = {
        "StackName": "cv-birds",
        "CreationTime": NOW,
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()],
    }
    function = {
        "LogicalResourceId": "Function",
        "PhysicalResourceId": FUNCTION,
        "ResourceType": "AWS::Lambda::Function",
        "LastUpdatedTimestamp": NOW,
        "ResourceStatus": "CREATE_COMPLETE",
    }
    return {
        "DescribeStacks": {"Stacks": [stack]},
        "ListStackResources": {"StackResourceSummaries": [function]},
        "GetFunctionConfiguration": {
            "Environment": {"Variables": {"PIPELINE_PARAMETERS": json.dumps({"TrainingImageUri": IMAGE})}}
        },
        "ListPipelineExecutions": {
            "PipelineExecutionSummaries": [{"PipelineExecutionArn": arn} for arn in (EXECUTION, EARLIER)]
        },
        "ListPipelineExecutionSteps": {
            "PipelineExecutionSteps": [
                step(name, Metadata=metadata.get(name, {})) for name in steps_of(definition["Steps"])
            ]
        },
        "DescribePipelineDefinitionForExecution": {"PipelineDefinition": DEFINITION},
        "ListServiceQuotas": {
            "Quotas": [
                quota("ml.c5.4xlarge for training job usage", 1.0),
                quota("ml.c5.4xlarge for spot training job usage", 1.0),
                quota("ml.m5.xlarge for processing job usage", 2.0),
            ]
        },
        "DescribeImages": {"imageDetails": [{"imageManifestMediaType": live_checks.DOCKER_MANIFEST}]},
        "GetBucketNotificationConfiguration": {
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}",
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
        "GetFunctionEventInvokeConfig": {
            "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"}}
        },
        "DescribeModelPackage": model_package(WeightsSha256="b" * 64, PipelineExecutionArn=EXECUTION),
        "DescribeTrainingJob": training_job(),
        "ListObjectsV2": {"Contents": [checkpoint(0, 0), checkpoint(1, 0)], "IsTruncated": False},
        "ListPipelineParametersForExecution": {
            "PipelineParameters": [{"Name": each["Name"], "Value": "x"} for each in definition["Parameters"]]
        },
        "ListMetrics": lambda given: (
            metrics("reconcile", "executions") if given["MetricName"] == "Invocations" else metrics()
        ),
        "GetProducts": list_prices,
    }


def ask(account: FakeAccount, *arguments: str) -> Result:
    """Run the script against an account in memory."""
    return CliRunner().invoke(main, arguments, obj=account, catch_exceptions=False)


def test_every_check_has_a_name_of_its_own_and_they_are_few() -> None:
    assert len(NAMES) == len(set(NAMES)) <= 45
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in NAMES)


def test_the_first_ten_are_those_that_the_script_judges() -> None:
    assert [each.name for each in first_ten()] == list(JUDGES)
    assert len(JUDGES) == 10


def test_every_check_has_a_command() -> None:
    tables = TEXT.split("\n## What public sources settle\n")[0]
    for line in tables.splitlines():
        if line.startswith("| `"):
            _, question, assumed, command, _ = line.removeprefix("| ").split(" | ")
            assert "?" in question, line
            assert assumed
            assert command
    assert all(any(map(only_reads, each.commands)) for each in first_ten())


def test_what_refers_to_a_check_names_one_that_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
    named = [
        (page.name, name)
        for page in pages
        for name in re.findall(r"\[`([\w-]+)`\]\([\w/]*live-checks\.md\)", page.read_text(encoding="utf-8"))
    ]
    assert len(named) > 20
    for page, name in named:
        assert name in NAMES, f"{page} names {name}"


def test_the_script_asks_for_quotas_and_prices_of_what_the_shipped_definition_runs_on() -> None:
    defaults = {each["Name"]: each.get("DefaultValue") for each in json.loads(DEFINITION)["Parameters"]}
    commands = " ".join(check_of("prices").commands)
    assert f"-Train:{defaults['TrainingInstanceType']}" in commands
    assert f"-Processing:{defaults['ProcessingInstanceType']}" in commands


def check_of(name: str) -> LiveCheck:
    return next(each for each in first_ten() if each.name == name)


def test_an_account_as_assumed_is_told_so_and_only_read() -> None:
    account = FakeAccount()
    result = ask(account)
    assert result.exit_code == 0, result.output
    assert "10 as assumed, 0 NOT as assumed, 0 open" in result.output
    assert all(re.match(r"(Describe|Get|List)[A-Z]", name) for name in account.operations())


def test_every_command_is_printed_filled_in_and_what_may_change_something_is_not_run() -> None:
    account = FakeAccount()
    printed = ask(account, "manifest", "steps").output
    digest = f"imageDigest=sha256:{'a' * 64}"
    assert f"--registry-id {ACCOUNT} --repository-name cv-birds-training --image-ids {digest}" in printed
    assert re.search(r"\$ aws sagemaker create-model .*cv-birds/7 +# not run", printed)
    assert f"list-pipeline-execution-steps --pipeline-execution-arn {EXECUTION}\n" in printed
    assert "CreateModel" not in account.operations()
    assert not re.search(r"\$[A-Z]", printed)


def test_what_is_printed_is_what_is_asked() -> None:
    account = FakeAccount()
    ask(account, "manifest", "prices")
    asked = {name: (region, given) for name, region, given in account.asked}
    assert asked["DescribeImages"] == (
        None,
        {
            "registryId": ACCOUNT,
            "repositoryName": "cv-birds-training",
            "imageIds": [{"imageDigest": f"sha256:{'a' * 64}"}],
        },
    )
    region, given = asked["GetProducts"]
    assert region == "us-east-1"
    wanted = {"Type": "TERM_MATCH", "Field": "usagetype", "Value": "USE1-Processing:ml.m5.xlarge"}
    assert given["Filters"] == [wanted]


def test_lists_are_read_to_their_last_page() -> None:
    account = FakeAccount()
    first, *others = account.answers["ListServiceQuotas"]["Quotas"]
    pages = {None: {"Quotas": [first], "NextToken": "next"}, "next": {"Quotas": others}}
    account.answers["ListServiceQuotas"] = lambda given: pages[given.get("NextToken")]
    assert "as assumed (" in ask(account, "quotas").output
    assert len(account.asked) == 2


def without_event(account: FakeAccount, rule: str) -> None:
    told = {"Invocations": metrics(*{"reconcile", "executions"} - {rule}), "FailedInvocations": metrics()}
    account.answers["ListMetrics"] = lambda given: told[given["MetricName"]]


def undelivered(account: FakeAccount) -> None:
    told = {
        "Invocations": metrics("reconcile", "executions"),
        "FailedInvocations": metrics("executions", "no-rule"),
    }
    account.answers["ListMetrics"] = lambda given: told[given["MetricName"]]


def given(operation: str, **answer: Any) -> Callable[[FakeAccount], None]:
    """Return what lets an account answer so to an operation."""

    def change(account: FakeAccount) -> None:
        account.answers[operation] = answer

    return change


def steps_told(changed: str, **more: Any) -> Callable[[FakeAccount], None]:
    def change(account: FakeAccount) -> None:
        listed = account.answers["ListPipelineExecutionSteps"]["PipelineExecutionSteps"]
        next(each for each in listed if each["StepName"] == changed).update(more)

    return change


def fewer_parameters(account: FakeAccount) -> None:
    del account.answers["ListPipelineParametersForExecution"]["PipelineParameters"][0]


def dearer(account: FakeAccount) -> None:
    account.answers["GetProducts"] = lambda given: price(given["Filters"][0]["Value"], 9.0)


SPOT_QUOTA = "ml.c5.4xlarge for spot training job usage"
ANOTHER_FOLDER = CHECKPOINTS.replace("0123", "ffff")
UNLIKE = {
    ("quotas", "too few"): (
        given(
            "ListServiceQuotas",
            Quotas=[
                quota("ml.c5.4xlarge for training job usage", 1.0),
                quota(SPOT_QUOTA, 0.0),
                quota("ml.m5.xlarge for processing job usage", 2.0),
            ],
        ),
        f"too few: {SPOT_QUOTA}: 0 of 1.",
    ),
    ("manifest", "OCI's"): (
        given(
            "DescribeImages",
            imageDetails=[{"imageManifestMediaType": "application/vnd.oci.image.index.v1+json"}],
        ),
        "application/vnd.oci.image.index.v1+json",
    ),
    ("steps", "a right is missing"): (
        steps_told(
            "TrainSpot",
            StepStatus="Failed",
            FailureReason="ClientError: User x is not authorized to perform: y",
        ),
        "TrainSpot: ClientError: User x is not authorized",
    ),
    ("lineage", "not filled in"): (given("DescribeModelPackage", **model_package()), "not there"),
    ("notification", "nobody"): (given("GetBucketNotificationConfiguration"), "notifies nobody"),
    ("notification", "no queue"): (given("GetFunctionEventInvokeConfig"), "goes nowhere"),
    ("checkpoints", "not emptied"): (
        given("ListObjectsV2", Contents=[checkpoint(0, 5), checkpoint(1, 0)], IsTruncated=False),
        "checkpoint-0.pt: 5 bytes",
    ),
    ("spot", "billed longer"): (
        given("DescribeTrainingJob", **training_job(BillableTimeInSeconds=14521)),
        "14521 s billed of at most 14520",
    ),
    ("parameters", "no defaults"): (fewer_parameters, "without a value of ExecutionRoleArn"),
    ("parameters", "not listed"): (
        given("ListPipelineExecutions", PipelineExecutionSummaries=[{"PipelineExecutionArn": EARLIER}]),
        "e1 is not listed",
    ),
    ("events", "no right"): (undelivered, "not delivered in two weeks: cv-birds-executions;"),
    ("prices", "dearer"): (dearer, "9 USD, assumed 0.816"),
}
UNSETTLED = {
    ("quotas", "not named"): (given("ListServiceQuotas", Quotas=[]), "AWS does not name"),
    ("quotas", "no right"): (
        given("ListServiceQuotas", **refusal("AccessDeniedException", "no")),
        "AWS refused ListServiceQuotas: no",
    ),
    ("steps", "from the cache"): (
        steps_told("Preprocess", CacheHitResult={"SourcePipelineExecutionArn": EARLIER}),
        "not run to their end here: Preprocess",
    ),
    ("checkpoints", "none yet"): (
        given("ListObjectsV2", IsTruncated=False),
        "0 of its pipeline's checkpoints",
    ),
    ("spot", "not interrupted"): (
        given("DescribeTrainingJob", **training_job(SecondaryStatusTransitions=[])),
        "0 interruptions",
    ),
    ("events", "too early"): (
        lambda account: without_event(account, "executions"),
        "no event yet of cv-birds-executions",
    ),
    ("prices", "no price"): (given("GetProducts", PriceList=[]), "no price of USE1-Train:ml.c5.4xlarge"),
    ("lineage", "no package yet"): (
        given("ListPipelineExecutionSteps", PipelineExecutionSteps=[]),
        "no TrainSpot or no RegisterSpot yet",
    ),
    ("steps", "no execution yet"): (
        given("ListPipelineExecutions", **refusal("ResourceNotFound")),
        "cv-birds has no execution yet",
    ),
    ("notification", "no stack"): (
        given("DescribeStacks", **refusal("ValidationError")),
        "no stack cv-birds in us-east-1",
    ),
}


@pytest.mark.parametrize("case", UNLIKE, ids="-".join)
def test_what_is_not_as_assumed_is_told_and_ends_with_1(case: tuple[str, str]) -> None:
    change, said = UNLIKE[case]
    account = FakeAccount()
    change(account)
    result = ask(account, case[0], "--execution", EXECUTION)
    assert result.exit_code == 1, result.output
    assert "NOT as assumed (" in result.output
    assert said in result.output


@pytest.mark.parametrize("case", UNSETTLED, ids="-".join)
def test_what_no_answer_settles_stays_open(case: tuple[str, str]) -> None:
    change, said = UNSETTLED[case]
    account = FakeAccount()
    change(account)
    result = ask(account, case[0])
    assert result.exit_code == 0, result.output
    assert "  open (" in result.output
    assert "0 as assumed, 0 NOT as assumed, 1 open" in result.output
    assert said in result.output


def test_every_judge_can_find_otherwise() -> None:
    assert {name for name, _ in UNLIKE} == set(JUDGES)


def test_another_training_s_checkpoints_are_not_held_against_the_ended_one() -> None:
    account = FakeAccount()
    stopped = checkpoint(0, 5, ANOTHER_FOLDER, minutes=-9)
    account.answers["ListObjectsV2"]["Contents"].append(stopped)
    assert "1 as assumed, 0 NOT" in ask(account, "checkpoints").output


def test_quotas_and_prices_need_no_deployment() -> None:
    account = FakeAccount()
    ask(account, "quotas", "prices")
    assert account.operations() == {"ListServiceQuotas", "GetProducts"}


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    result = ask(FakeAccount(), "quota")
    assert result.exit_code == 2
    assert "there is no check quota among the first ten: quotas, manifest" in result.output


def test_printing_asks_nothing() -> None:
    account = FakeAccount()
    result = ask(account, "--print-only")
    assert result.exit_code == 0
    assert all(f"\n{name}: " in result.output for name in JUDGES)
    assert not account.asked


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment as local AWS makes it."""
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("service", ["", "_STS", "_SERVICE_QUOTAS"])
def test_what_is_not_aws_is_not_asked(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AWS_ENDPOINT_URL{service}", "http://aws.example.com:4566")
    result = CliRunner().invoke(main, ["quotas"])
    assert result.exit_code == 2
    assert "is at http://aws.example.com:4566, which is not AWS" in result.output


@pytest.mark.usefixtures("at_home")
def test_local_aws_is_asked_when_somebody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    result = CliRunner().invoke(main, ["quotas", "--local"])
    assert result.exit_code == 2
    assert "Could not connect to the endpoint" in result.output


def test_every_address_of_aws_is_one() -> None:
    session = botocore.session.Session()
    regions = itertools.chain.from_iterable(
        session.get_available_regions("sagemaker", partition)
        for partition in session.get_available_partitions()
    )
    for region in sorted(regions):
        live_checks.refuse_what_is_not_aws(session.create_client("sagemaker", region), local=False)
