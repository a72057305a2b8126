"""Ask AWS the first ten questions of docs/live-checks.md: print their commands, and run those that only read.

    python -m tools.live_checks                       # all ten, with your own credentials and rights
    python -m tools.live_checks quotas prices         # some of them; these two need no deployment
    python -m tools.live_checks --print-only          # prints the commands and asks AWS nothing

The document is the authority for names, questions, assumptions and commands; here is how an answer is judged.
A command that changes something or costs something is printed and never run. Exit code 1: something is not as
assumed; 2: something given is wrong.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
import click
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.model import ListShape, Shape, StructureShape

from ops.aws import stack
from ops.aws.session import settings
from ops.errors import AbsentError, OpsError, error_code, explain
from upload_trigger.policy import prices

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "live-checks.md"
SHIPPED = ROOT / "pipeline_definition" / "pipeline.json"
READING = ("describe-", "filter-", "get-", "head-", "list-", "lookup-")
"""How an operation begins that changes nothing."""
PROGRAMS = ("aws ", "cv-pipeline ", "make ")
"""How a command of the document begins; other code in its cell is a word of the sentence."""
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DENIED = re.compile(r"AccessDenied|not authorized|UnauthorizedOperation", re.IGNORECASE)
STOPPING_SECONDS = 120
RUNNING_TYPES = ("Processing", "Training", "RegisterModel")
"""The types of steps that need rights."""

AS_ASSUMED, OTHERWISE, OPEN = "as assumed", "NOT as assumed", "open"

ClientOf = Callable[[str, str | None], Any]
"""Makes a boto3 client of a service, in a region or in that of the environment."""
Answer = dict[str, Any]
Values = Mapping[str, str]


class Judged(NamedTuple):
    """What an answer means: as assumed, not as assumed, or open, and why."""

    state: str
    words: str


class AwsAnswer(NamedTuple):
    """What AWS answered to one of a check's commands: its operation, its option values, and the answer."""

    operation: str
    given: Mapping[str, Any]
    body: Answer


Judge = Callable[[Sequence[AwsAnswer], Values], Judged]


@dataclass(frozen=True)
class LiveCheck:
    """A row of the document."""

    name: str
    question: str
    assumed: str
    commands: tuple[str, ...]


def rows(text: str, heading: str) -> list[LiveCheck]:
    """Return the checks of the table below a heading of the document, in its order."""
    section = re.split(r"^## ", text.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    found = []
    for line in section.splitlines():
        if line.startswith("| `"):
            name, question, assumed, commands, _ = (cell.strip() for cell in line[1:].split(" | "))
            printed = (code for code in re.findall(r"`([^`]+)`", commands) if code.startswith(PROGRAMS))
            found.append(LiveCheck(name.strip("`"), question, assumed, tuple(printed)))
    return found


def first_ten() -> list[LiveCheck]:
    """Return the checks that are asked here."""
    return rows(DOCUMENT.read_text(encoding="utf-8"), "The first ten")


def only_reads(command: str) -> bool:
    """Return whether a command is AWS's and changes nothing."""
    words = shlex.split(command)
    return len(words) > 2 and words[0] == "aws" and words[2].startswith(READING)


def filled(command: str, values: Values) -> str:
    """Return a command with its variables filled in, as far as they are known."""
    return re.sub(r"\$([A-Z]+)\b", lambda found: values.get(found[1], found[0]), command)


def unfilled(command: str) -> list[str]:
    """Return the variables of a command that have no value."""
    return re.findall(r"\$[A-Z]+\b", command)


def ask(command: str, client_of: ClientOf) -> AwsAnswer:
    """Ask AWS what the command asks, whole pages of it; `--query` is for the people who type it."""
    service, operation, *words = shlex.split(command)[1:]
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            options[word[2:]] = []
        else:
            options[list(options)[-1]].append(word)
    region = options.pop("region", [None])[0]
    options.pop("query", None)
    client = client_of({"s3api": "s3"}.get(service, service), region)
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    shapes = {xform_name(name, "-"): (name, shape) for name, shape in model.input_shape.members.items()}
    given = {shapes[option][0]: _typed(shapes[option][1], texts) for option, texts in options.items()}
    if client.can_paginate(method):
        return AwsAnswer(operation, given, client.get_paginator(method).paginate(**given).build_full_result())
    return AwsAnswer(operation, given, getattr(client, method)(**given))


def _typed(shape: Shape, texts: list[str]) -> Any:
    """Read an option's words as the AWS CLI does: a text, a number, a list, or objects as `Key=value,...`."""
    match shape:
        case ListShape():
            return [_typed(shape.member, [text]) for text in texts]
        case StructureShape():
            pairs = dict(pair.split("=", 1) for pair in texts[0].split(","))
            return {name: _typed(shape.members[name], [value]) for name, value in pairs.items()}
    return int(texts[0]) if shape.type_name in ("integer", "long") else texts[0]


# How each is judged.


def quotas(answers: Sequence[AwsAnswer], _: Values) -> Judged:
    """Judge whether the quotas are enough for one execution of the shipped definition."""
    declared = json.loads(SHIPPED.read_text(encoding="utf-8"))["Parameters"]
    defaults = {each["Name"]: each.get("DefaultValue") for each in declared}
    training, processing = defaults["TrainingInstanceType"], defaults["ProcessingInstanceType"]
    needed = {
        f"{training} for training job usage": 1,
        f"{training} for spot training job usage": 1,
        f"{processing} for processing job usage": 2,
    }
    has = {each["QuotaName"]: each["Value"] for each in answers[0].body["Quotas"]}
    if absent := [name for name in needed if name not in has]:
        return Judged(OPEN, f"AWS does not name {', '.join(absent)}")
    few = [f"{name}: {has[name]:g} of {wanted}" for name, wanted in needed.items() if has[name] < wanted]
    if few:
        return Judged(OTHERWISE, f"too few: {'; '.join(few)}. Ask for more under Service Quotas")
    return Judged(AS_ASSUMED, "; ".join(f"{name}: {has[name]:g}" for name in needed))


def manifest(answers: Sequence[AwsAnswer], _: Values) -> Judged:
    """Judge whether the image is one that CreateModel takes."""
    kinds = {each.get("imageManifestMediaType", "not told") for each in answers[0].body["imageDetails"]}
    said = ", ".join(sorted(kinds)) or "no such image"
    return Judged(AS_ASSUMED if kinds == {DOCKER_MANIFEST} else OTHERWISE, said)


def notification(answers: Sequence[AwsAnswer], values: Values) -> Judged:
    """Judge whether an upload reaches the function, and what fails the queue."""
    notified, asynchronous = (each.body for each in answers)
    functions = [
        each["LambdaFunctionArn"]
        for each in notified.get("LambdaFunctionConfigurations", ())
        if "s3:ObjectCreated:*" in each["Events"]
    ]
    if not any(arn.endswith(f":function:{values['F']}") for arn in functions):
        return Judged(OTHERWISE, f"the bucket notifies {', '.join(functions) or 'nobody'} of uploads")
    destination = asynchronous.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "nowhere")
    if not destination.endswith(f":{values['Q']}"):
        return Judged(OTHERWISE, f"what fails goes {destination}, and not to the queue {values['Q']}")
    return Judged(AS_ASSUMED, f"uploads go to {values['F']}, what fails to {values['Q']}")


def steps(answers: Sequence[AwsAnswer], _: Values) -> Judged:
    """Judge whether every step of the execution had the rights that it needed."""
    told, definition = answers[0].body["PipelineExecutionSteps"], _definition(answers[1])
    failed = [each for each in told if each["StepStatus"] == "Failed"]
    reasons = [f"{each['StepName']}: {each.get('FailureReason', 'no reason')}" for each in failed]
    if denied := [each for each in reasons if DENIED.search(each)]:
        return Judged(OTHERWISE, "; ".join(denied))
    ran = (each for each in told if each["StepStatus"] == "Succeeded" and not each.get("CacheHitResult"))
    done = {each["StepName"] for each in ran}
    wanted = {name for name, type_ in _steps(definition["Steps"]) if type_ in RUNNING_TYPES}
    if missing := sorted(wanted - done):
        return Judged(OPEN, f"no step was denied anything; not run to their end here: {', '.join(missing)}")
    return Judged(AS_ASSUMED, f"{len(done)} steps succeeded, with every right that they need")


def _definition(answer: AwsAnswer) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(answer.body["PipelineDefinition"])
    return definition


def _steps(listed: Any) -> Iterator[tuple[str, str]]:
    for step in listed:
        yield step["Name"], step["Type"]
        for branch in ("IfSteps", "ElseSteps"):
            yield from _steps(step.get("Arguments", {}).get(branch, ()))


def lineage(answers: Sequence[AwsAnswer], _: Values) -> Judged:
    """Judge whether the package says what the evaluation measured, and which execution it is of."""
    properties = answers[0].body.get("CustomerMetadataProperties", {})
    if not re.fullmatch("[0-9a-f]{64}", properties.get("WeightsSha256", "")):
        return Judged(OTHERWISE, f"WeightsSha256 is {properties.get('WeightsSha256', 'not there')}")
    if ":pipeline/" not in properties.get("PipelineExecutionArn", ""):
        said = properties.get("PipelineExecutionArn", "not there")
        return Judged(OTHERWISE, f"PipelineExecutionArn is {said}")
    return Judged(AS_ASSUMED, f"WeightsSha256 {properties['WeightsSha256'][:12]}...")


def spot(answers: Sequence[AwsAnswer], values: Values) -> Judged:
    """Judge whether interruptions add to what a Spot job is billed at most."""
    job = answers[0].body
    if "TrainingEndTime" not in job:
        return Judged(OPEN, f"{values['J']} has not ended")
    statuses = [each["Status"] for each in job.get("SecondaryStatusTransitions", ())]
    interruptions = statuses.count("Interrupted")
    billed = job.get("BillableTimeInSeconds", 0)
    bound = job["StoppingCondition"]["MaxRuntimeInSeconds"] + STOPPING_SECONDS
    rate = job.get("HyperParameters", {}).get("learning-rate", "not there")
    said = f"{interruptions} interruptions, {billed} s billed of at most {bound}; learning-rate is {rate}"
    if billed > bound:
        return Judged(OTHERWISE, said)
    return Judged(AS_ASSUMED if interruptions else OPEN, said)


def checkpoints(answers: Sequence[AwsAnswer], values: Values) -> Judged:
    """Judge whether checkpoints arrived, and whether what the ended training emptied is empty in S3."""
    job, listed = (each.body for each in answers)
    objects = [each for each in listed.get("Contents", ()) if each["Key"].endswith(".pt")]
    status = job["TrainingJobStatus"]
    if status != "Completed" or not objects:
        return Judged(
            OPEN, f"{values['J']} is {status}, {len(objects)} of its pipeline's checkpoints are there"
        )
    # Each training has a folder of its own; an earlier one that was stopped keeps what it had.
    newest = max(objects, key=lambda each: each["LastModified"])["Key"].rpartition("/")[0]
    kept = {each["Key"]: each["Size"] for each in objects if each["Key"].startswith(f"{newest}/")}
    if full := [f"{key}: {size} bytes" for key, size in kept.items() if size]:
        return Judged(OTHERWISE, f"the ended training left {'; '.join(full)}; every later job copies it")
    return Judged(AS_ASSUMED, f"{len(kept)} files below {newest}, all empty, as the ended training left them")


def parameters(answers: Sequence[AwsAnswer], values: Values) -> Judged:
    """Judge whether SageMaker tells an execution's defaults too, and lists the execution."""
    told, listed = (each.body for each in answers[:2])
    names = {each["Name"] for each in told["PipelineParameters"]}
    declared = {each["Name"] for each in _definition(answers[2])["Parameters"]}
    if values["E"] not in {each["PipelineExecutionArn"] for each in listed["PipelineExecutionSummaries"]}:
        return Judged(OTHERWISE, f"{values['E']} is not listed")
    if missing := sorted(declared - names):
        return Judged(OTHERWISE, f"listed, but without a value of {', '.join(missing)}")
    return Judged(AS_ASSUMED, f"listed, with all of its {len(names)} parameters")


def events(answers: Sequence[AwsAnswer], values: Values) -> Judged:
    """Judge whether the rules reach the function and the topic."""
    ours = {
        f"{values['P']}-{rule}" for rule in ("executions", "model-packages", "reconcile", "training-jobs")
    }
    failed, invoked = (
        ours & {each["Value"] for metric in answer.body["Metrics"] for each in metric["Dimensions"]}
        for answer in answers
    )
    if failed:
        return Judged(
            OTHERWISE, f"not delivered in two weeks: {', '.join(sorted(failed))}; a right is missing"
        )
    if quiet := sorted({f"{values['P']}-reconcile", f"{values['P']}-executions"} - invoked):
        when = "there is one an hour after a deployment, or a quarter of one after an execution"
        return Judged(OPEN, f"no event yet of {', '.join(quiet)}: {when}")
    return Judged(AS_ASSUMED, f"delivered: {', '.join(sorted(invoked))}")


def job_prices(answers: Sequence[AwsAnswer], _: Values) -> Judged:
    """Judge whether AWS's list prices are those that the policy counts with."""
    said, differ = [], False
    for each in answers:
        (wanted,) = each.given["Filters"]
        usage = wanted["Value"]
        instance_type = usage.partition(":")[2]
        if not (found := sorted(set(_on_demand(each.body["PriceList"])))):
            return Judged(OPEN, f"AWS has no price of {usage}")
        assumed = prices.PRICES[instance_type]
        differ |= found != [assumed]
        said.append(f"{usage} {', '.join(f'{price:g}' for price in found)} USD, assumed {assumed:g}")
    return Judged(OTHERWISE if differ else AS_ASSUMED, "; ".join(said))


def _on_demand(price_list: Sequence[str]) -> Iterator[float]:
    for product in map(json.loads, price_list):
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                yield float(dimension["pricePerUnit"]["USD"])


JUDGES: dict[str, Judge] = {
    "quotas": quotas,
    "manifest": manifest,
    "steps": steps,
    "lineage": lineage,
    "notification": notification,
    "checkpoints": checkpoints,
    "spot": spot,
    "parameters": parameters,
    "events": events,
    "prices": job_prices,
}


# What the variables of the commands are.


class Variables:
    """The values of a deployment and of one of its executions, looked up as far as they are there."""

    def __init__(self, client_of: ClientOf, stack_name: str, execution: str | None) -> None:
        self._client_of, self._stack, self._execution = client_of, stack_name, execution
        self.values: dict[str, str] = {}
        self.missing = ""
        """Why the rest has no value."""

    def look_up(self) -> None:
        """Look up what is there; what is not leaves its reason in `missing`."""
        try:
            self._deployment()
            self._newest_execution()
        except AbsentError as error:
            self.missing = error.message
        except ClientError as error:
            self.missing = explain(error).message

    def _deployment(self) -> None:
        cloudformation = self._client_of("cloudformation", None)
        deployed = stack.deployment(cloudformation, self._stack)
        self.values |= {
            "B": deployed.bucket,
            "P": deployed.project,
            "Q": deployed.failure_queue.rpartition("/")[2],
            "F": stack.function_name(cloudformation, self._stack),
        }
        if "PipelineExecutionRoleArn" in deployed.outputs:
            self.values["ROLE"] = deployed.outputs["PipelineExecutionRoleArn"]
        configuration = self._client_of("lambda", None).get_function_configuration(
            FunctionName=self.values["F"]
        )
        given = json.loads(configuration["Environment"]["Variables"]["PIPELINE_PARAMETERS"])
        self.values |= _image(given["TrainingImageUri"])

    def _newest_execution(self) -> None:
        sagemaker = self._client_of("sagemaker", None)
        if not self._execution:
            request = {"PipelineName": self.values["P"], "SortBy": "CreationTime", "SortOrder": "Descending"}
            try:
                listed = sagemaker.list_pipeline_executions(**request)["PipelineExecutionSummaries"]
            except ClientError as error:
                if error_code(error) != "ResourceNotFound":
                    raise
                listed = []
            if not listed:
                raise AbsentError(f"{self.values['P']} has no execution yet: upload a definition first")
            self._execution = listed[0]["PipelineExecutionArn"]
        self.values["E"] = str(self._execution)
        pages = sagemaker.get_paginator("list_pipeline_execution_steps")
        told = pages.paginate(PipelineExecutionArn=self.values["E"]).build_full_result()
        metadata = {each["StepName"]: each.get("Metadata", {}) for each in told["PipelineExecutionSteps"]}
        if job := metadata.get("TrainSpot", {}).get("TrainingJob"):
            self.values["J"] = job["Arn"].rpartition("/")[2]
        if package := metadata.get("RegisterSpot", {}).get("RegisterModel"):
            self.values["M"] = package["Arn"]
        self.missing = (
            f"{self.values['E']} has no TrainSpot or no RegisterSpot yet; --execution names another one"
        )


def _image(uri: str) -> dict[str, str]:
    """Return repository, identifier and region of an image, as the commands want them."""
    host, _, path = uri.partition("/")
    repository, at, digest = path.partition("@")
    repository, _, tag = repository.partition(":")
    return {
        "R": repository,
        "I": f"imageDigest={digest}" if at else f"imageTag={tag}",
        "A": host.partition(".")[0],
    }


class OwnClients:
    """Clients with the credentials of whoever asks; refuses what is not AWS unless that is wanted."""

    def __init__(self, *, local: bool) -> None:
        self._session, self._local = boto3.Session(), local
        # Before anything is printed: an address for all services stands in the way of each.
        self("sts", None)

    def __call__(self, service: str, region: str | None) -> Any:
        """Make a client.

        Raises:
            OpsError: It would talk to something other than AWS.
        """
        client = self._session.client(service, region_name=region, config=settings(service))
        refuse_what_is_not_aws(client, local=self._local)
        return client


def refuse_what_is_not_aws(client: Any, *, local: bool) -> None:
    """Raise an error where a client talks to something other than AWS and nobody said so."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if not host.endswith(_ends_of_addresses()) and not local:
        raise OpsError(
            f"{client.meta.service_model.service_name} is at {client.meta.endpoint_url}, which is not AWS "
            "and proves nothing of it: unset AWS_ENDPOINT_URL and its like, or say --local"
        )


@functools.cache
def _ends_of_addresses() -> tuple[str, ...]:
    """Return how the addresses of AWS end, in all of its partitions."""
    partitions = create_loader().load_data("partitions")["partitions"]
    named = {each["outputs"][name] for each in partitions for name in ("dnsSuffix", "dualStackDnsSuffix")}
    return tuple(f".{suffix}" for suffix in named)


def answered(check: LiveCheck, client_of: ClientOf, values: Values, missing: str) -> Judged:
    """Run the commands of a check that only read, and judge what AWS answered."""
    answers = []
    for command in filter(only_reads, check.commands):
        text = filled(command, values)
        if unfilled(text):
            return Judged(OPEN, missing)
        try:
            answers.append(ask(text, client_of))
        except ClientError as error:
            return Judged(OPEN, explain(error).message)
    return JUDGES[check.name](answers, values)


def tell(
    checks: Sequence[LiveCheck], client_of: ClientOf | None, values: Values, missing: str
) -> Iterator[Judged]:
    """Print each check, run it and yield what it found; without clients nothing is asked."""
    for check in checks:
        click.echo(f"\n{check.name}: {check.question}\n  assumed: {check.assumed}")
        for command in check.commands:
            note = "" if only_reads(command) else "   # not run: it may change or cost something"
            click.echo(f"  $ {filled(command, values)}{note}")
        if client_of:
            found = answered(check, client_of, values, missing)
            click.echo(f"  {found.state} ({datetime.now(UTC):%Y-%m-%d}): {found.words}")
            yield found


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--stack", "stack_name", default="cv-birds", show_default=True, help="The stack to ask about.")
@click.option("--execution", metavar="ARN", help="The execution to ask about; the newest unless given.")
@click.option("--print-only", is_flag=True, help="Print the commands and ask AWS nothing.")
@click.option("--local", is_flag=True, help="Ask local AWS too, whose answers prove nothing of AWS.")
@click.pass_obj
def main(
    clients: ClientOf | None,
    names: tuple[str, ...],
    *,
    stack_name: str,
    execution: str | None,
    print_only: bool,
    local: bool,
) -> None:
    """Print the commands of the first ten live checks and run those that only read."""
    checks = {each.name: each for each in first_ten()}
    if unknown := [name for name in names if name not in checks]:
        raise OpsError(f"there is no check {unknown[0]} among the first ten: {', '.join(checks)}")
    chosen = [checks[name] for name in names or checks]
    if print_only:
        list(tell(chosen, None, {}, ""))
        return
    try:
        client_of = clients or OwnClients(local=local)
        variables = Variables(client_of, stack_name, execution)
        if any(unfilled(command) for each in chosen for command in each.commands):
            variables.look_up()
        states = [each.state for each in tell(chosen, client_of, variables.values, variables.missing)]
    except BotoCoreError as error:
        raise explain(error) from error
    counts = ", ".join(f"{states.count(each)} {each}" for each in (AS_ASSUMED, OTHERWISE, OPEN))
    click.echo(f"\n{counts}. Write what is settled into docs/live-checks.md, with the date.")
    if OTHERWISE in states:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
