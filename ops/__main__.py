"""The person's side of the pipeline, on AWS or on the laptop's AWS.

python -m ops upload --data FOLDER      # start an execution
python -m ops watch                     # follow the newest one
python -m ops report                    # leave a page, the models and the metrics of it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from ops import execution as executions
from ops import report as run_report
from ops import stack as cloudformation_stack
from ops import upload as uploads
from ops import watch as watching
from ops.errors import UploadError, explain
from ops.terminal import say

DEFINITION = Path(__file__).resolve().parent.parent / "pipeline_definition" / "pipeline.json"
REPORTS = Path("runs")
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})  # a person may watch for hours

STACK = click.option(
    "--stack",
    default="cv-birds",
    show_default=True,
    metavar="NAME",
    help="The deployed CloudFormation stack.",
)
PIPELINE = click.option(
    "--pipeline", metavar="NAME", help="Whose executions are meant.  [default: the stack's own pipeline]"
)
EXECUTION = click.argument("execution", metavar="[EXECUTION_ARN|latest]", default="latest")


class Session:
    """The AWS of the environment: credentials, region and endpoint as every AWS tool takes them."""

    def __init__(self) -> None:
        self._session = boto3.Session()

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`."""
        return self._session.client(service, config=RETRIES)

    def execution_arn(self, wanted: str, pipeline: str | None, stack: str) -> str:
        """Give the ARN of what was asked for: an ARN, a PipelineExecutionId, or `latest`."""
        if wanted.startswith("arn:"):
            return wanted
        name = pipeline or cloudformation_stack.output(
            cloudformation_stack.outputs(self.client("cloudformation"), stack), "PipelineName", stack
        )
        return executions.find(self.client("sagemaker"), wanted, name)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Upload a pipeline definition, watch its execution, leave a report.

    Talks to the AWS that the environment names: AWS_PROFILE, AWS_REGION, and AWS_ENDPOINT_URL for the
    laptop's AWS (python -m local up).

    Exits with 0 when it went well, 1 when the execution failed, was stopped or did not start, 2 when
    something given is wrong or cannot be reached, and 130 after Ctrl-C.
    """


@main.command()
@click.argument("definition", type=click.Path(path_type=Path), default=DEFINITION, metavar="[DEFINITION]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Data set: a folder in CUB layout, or a .tgz of one.",
)
@click.option(
    "--parameter",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A pipeline parameter; may be repeated.",
)
@click.option(
    "--name", metavar="NAME", help="Start the pipeline <project>-NAME instead of the project's own."
)
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Wait until the execution has started."
)
@click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Seconds to wait for the start.",
)
@STACK
def upload(
    *,
    definition: Path,
    data: Path | None,
    parameters: tuple[str, ...],
    name: str | None,
    wait: bool,
    timeout: float,
    stack: str,
) -> None:
    """Upload data and DEFINITION, which starts an execution.

    DEFINITION is pipeline_definition/pipeline.json unless given. The data goes to a prefix named after its
    content (data/<digest>/), so unchanged data is uploaded once; InputDataUrl is set to that prefix. Without
    --data the execution reads what InputDataUrl says, by default all of data/ in the stack's bucket.
    Parameters replace the defaults in the uploaded copy. Nothing is uploaded before all that is given has
    been checked.
    """
    given = _pairs(parameters)
    if data is not None and "InputDataUrl" in given:
        raise click.UsageError("--data sets InputDataUrl: give one of the two")
    uploads.check_parameters(definition, {**given, "InputDataUrl": "s3://"} if data else given)
    key = uploads.definition_key(name)
    if data is not None:
        uploads.check_data(data)
    session, console = Session(), Console()
    outputs = cloudformation_stack.outputs(session.client("cloudformation"), stack)
    bucket = cloudformation_stack.output(outputs, "BucketName", stack)
    s3 = session.client("s3")
    if data is not None:
        given["InputDataUrl"] = uploads.upload_data(s3, bucket, data, console)
    uploaded = uploads.upload_definition(s3, bucket, definition, given, name)
    say(console, f"Uploaded s3://{bucket}/{key}, version {uploaded.version_id}")
    if wait:
        _wait(session, console, uploaded, outputs=outputs, name=name, timeout=timeout, stack=stack)


def _wait(
    session: Session,
    console: Console,
    uploaded: uploads.Upload,
    *,
    outputs: dict[str, str],
    name: str | None,
    timeout: float,
    stack: str,
) -> None:
    project = cloudformation_stack.output(outputs, "PipelineName", stack)
    pipeline = f"{project}-{name}" if name else project
    arn = watching.wait_for_start(
        session.client("sagemaker"),
        session.client("sqs"),
        pipeline,
        uploaded,
        cloudformation_stack.output(outputs, "FailureQueueUrl", stack),
        timeout,
        function_name=cloudformation_stack.function_name(session.client("cloudformation"), stack),
    )
    say(console, f"Started {arn}")
    say(console, f"Watch it with: python -m ops watch {arn}")


def _pairs(parameters: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UploadError(f"-p {text!r}: write NAME=VALUE, such as -p Epochs=3")
        if name.strip() in pairs:
            raise UploadError(f"-p {name.strip()} is given twice")
        pairs[name.strip()] = value
    return pairs


@main.command()
@EXECUTION
@PIPELINE
@STACK
def watch(execution: str, pipeline: str | None, stack: str) -> int:
    """Follow an execution to its end.

    Shows steps, progress, spot interruptions and cache hits, and sums up in one sentence: of the newest
    execution unless an ARN or a PipelineExecutionId is given. A live picture on a terminal; one line for each
    change in CI, in files and with NO_COLOR. Ctrl-C ends the watching, not the execution.
    """
    session, console = Session(), Console()
    arn = session.execution_arn(execution, pipeline, stack)
    sagemaker, logs, s3 = (session.client(service) for service in ("sagemaker", "logs", "s3"))
    try:
        status = watching.watch(sagemaker, logs, arn, console, s3=s3)
    except KeyboardInterrupt:
        say(console, f"\nThe execution goes on. Watch it again with: python -m ops watch {arn}")
        return INTERRUPTED
    say(console, f"A page, the models and the metrics of it: python -m ops report {arn}")
    return 0 if status == "Succeeded" else 1


@main.command()
@EXECUTION
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write.  [default: runs/<execution id>]",
)
@PIPELINE
@STACK
def report(execution: str, output: Path | None, pipeline: str | None, stack: str) -> None:
    """Write a report of an execution, finished or not.

    Leaves report.html (one page without links to anywhere), summary.json, pipeline.json, evaluation-*.json
    and models/*/model.tar.gz in DIR, which is replaced when it holds an earlier report.
    """
    session = Session()
    arn = session.execution_arn(execution, pipeline, stack)
    directory = output or REPORTS / arn.rpartition("/")[2]
    summary = run_report.write_report(session, arn, directory)
    say(Console(), f"{summary.status}: {directory / run_report.PAGE}")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and give the exit code; what went wrong is one sentence, never a traceback."""
    try:
        return main(arguments, "python -m ops", standalone_mode=False) or 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted.", err=True)
        return INTERRUPTED
    except (BotoCoreError, ClientError) as error:
        return _show(explain(error))
    except click.ClickException as error:
        return _show(error)


def _show(error: click.ClickException) -> int:
    error.show()
    return error.exit_code


if __name__ == "__main__":
    sys.exit(run())
