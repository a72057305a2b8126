"""Commands around the file to upload: validate, upload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from botocore.exceptions import ClientError
from rich.console import Console

from ops.aws import roles
from ops.aws.session import ClientFactory, Session
from ops.commands.doctor import tell_before_upload
from ops.commands.options import AS_ROLE, NAME, PARAMETER, STACK, TIMEOUT, WAIT, named
from ops.doctor.examination import examine_upload
from ops.errors import DENIED, CannotUploadError, error_code
from ops.output.terminal import say
from ops.uploads import outcome, validation
from ops.uploads.data_set import check_data, choice_of
from ops.uploads.parameters import with_defaults
from ops.uploads.start import settle
from ops.uploads.upload import (
    check_parameters,
    check_start,
    check_values,
    definition_key,
    parameters_key,
    upload_data,
    upload_definition,
    upload_parameters,
    values_beside,
)

if TYPE_CHECKING:
    from upload_trigger.settings import Settings

DEFINITION = Path(__file__).resolve().parents[2] / "pipeline_definition" / "pipeline.json"
FILE = click.Path(path_type=Path)


@click.command()
@click.argument("definition", type=FILE, metavar="FILE")
@click.option(
    "--parameters",
    type=FILE,
    metavar="FILE",
    help="A parameters.json that is to stand beside the definition.",
)
@click.option(
    "--stack", metavar="NAME", help="Judge by the policy of this deployed stack.  [default: offline]"
)
def validate(definition: Path, parameters: Path | None, stack: str | None) -> None:
    """Say everything that is wrong with the definition FILE, and where it would be met.

    First what CreatePipeline would refuse, what the API of a step's job would refuse when the step starts,
    the values that an execution would fail for, and advice on what may be newer than this library; then what
    the deployed function would reject the upload for, in its words. Each line has the JSON pointer of what is
    wrong, what it is, and what to write.
    Needs no credentials: the default policy judges, unless a stack is named whose policy is to judge.

    Exits with 0 when nothing is wrong, advice or not, else with 2.
    """
    document = validation.load(definition)
    settings = validation.deployed_settings(Session(), stack) if stack else None
    judgement = validation.judge(
        definition,
        document,
        validation.values_of(parameters),
        settings,
        str(parameters or validation.VALUES_FILE),
    )
    console = Console()
    for advice in judgement.advice:
        say(console, f"  {validation.tell(advice)}")
    steps = outcome.counted(judgement.steps, "step")
    said = f"{definition} is sound: {steps}, {outcome.counted(judgement.parameters, 'parameter')}"
    if judgement.worst_case_cost is not None:
        said += f"; an execution costs {outcome.cost(judgement.worst_case_cost)}"
    say(console, said)


@click.command()
@click.argument("definition", type=FILE, default=DEFINITION, metavar="[DEFINITION]")
@click.option(
    "--data", type=FILE, metavar="PATH", help="Data set: a folder or an archive of images (docs/data.md)."
)
@PARAMETER
@click.option(
    "--parameters",
    "parameters_file",
    type=FILE,
    metavar="FILE",
    help="Upload FILE as the parameters.json beside the definition; it stays for later ",
)
@NAME
@WAIT
@TIMEOUT
@AS_ROLE
@click.option(
    "--doctor/--no-doctor",
    "examines",
    default=True,
    show_default=True,
    help="Look first at what would stop the execution: notification, image, quotas.",
)
@STACK
def upload(
    *,
    definition: Path,
    data: Path | None,
    pairs: tuple[str, ...],
    parameters_file: Path | None,
    name: str | None,
    wait: bool,
    timeout: float,
    as_role: str | None,
    examines: bool,
    stack: str,
) -> None:
    """Upload data and DEFINITION, which starts an execution.

    DEFINITION is pipeline_definition/pipeline.json unless given. The data goes to a prefix named after its
    content (data/<digest>/), so unchanged data is uploaded once; InputDataUrl is set to that prefix. Without
    --data the execution reads what InputDataUrl says, by default the one data set below data/ in the
    stack's bucket.
    Parameters replace the defaults in the uploaded copy. Nothing is uploaded before all that is given has
    been checked as `validate` checks it, by the stack's policy, and as `doctor` looks at the deployment: the
    function and who tells it, the image, and the account's quotas for the instances. In a hardened deployment
    all of it is done as the stack's uploader role, which you have to be allowed to assume.

    Waits for the verdict and prints it: the execution that was started, or every reason why none was.
    """
    given = named(pairs)
    if data is not None and "InputDataUrl" in given:
        raise click.UsageError("--data sets InputDataUrl: give one of the two")
    replaced = {**given, "InputDataUrl": "s3://bucket/data/"} if data else given  # known after the upload
    check_parameters(definition, replaced, parameters_file)
    key = definition_key(name)
    if data is not None and not data.exists():
        raise CannotUploadError(f"--data {data}: there is no such file or folder")
    session, console = Session(), Console()
    deployed = session.deployment(stack)
    uploader = roles.uploader(session, deployed, as_role)
    s3, bucket = uploader.client("s3"), deployed.bucket
    beside = str(parameters_file or f"s3://{bucket}/{parameters_key(key)}")
    if parameters_file is None:
        values = values_beside(s3, bucket, key, replaced)
        check_values(definition, replaced, values, beside)
    else:
        values = validation.values_of(parameters_file)
    settings = known_settings(uploader, stack, console)
    if settings is not None:
        anywhere = {"InputDataUrl": f"s3://{bucket}/data/"} if data else {}
        check_start(definition, {**given, **anywhere}, values, settings, beside)
    if examines:
        document = with_defaults(validation.load(definition), replaced)
        tell_before_upload(examine_upload(uploader, session, deployed, document, values), console)
    if data is not None:
        choice = choice_of(validation.load(definition), {**outcome.json_object(values), **given})
        given["InputDataUrl"] = upload_data(s3, bucket, check_data(data, choice, console), console)
    if parameters_file is not None:
        url = upload_parameters(s3, bucket, parameters_file, key)
        say(console, f"Uploaded {url}")
    uploaded = upload_definition(s3, bucket, definition, given, name)
    say(console, f"Uploaded {uploaded.url}, version {uploaded.version_id}")
    if wait:
        settle(uploader, deployed, uploaded, timeout, console)


def known_settings(clients: ClientFactory, stack: str, console: Console) -> Settings | None:
    """Read the settings of a stack's function, or say that the person may not."""
    try:
        return validation.deployed_settings(clients, stack)
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        say(console, f"The policy is not asked before the upload: AWS refuses {error.operation_name} to you.")
        return None
