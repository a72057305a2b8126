"""The person's side of the pipeline, on AWS or on local AWS.

cv-pipeline dataset fetch cub       # fetch photographs to train with
cv-pipeline dataset check FOLDER    # say what a data set is, and what is wrong with it
cv-pipeline doctor                  # say what stops an upload, and what mends it
cv-pipeline validate FILE           # say everything that is wrong with a definition
cv-pipeline upload --data FOLDER    # start an execution
cv-pipeline watch                   # follow the newest one
cv-pipeline report                  # leave a page, the models and the metrics of it
cv-pipeline models                  # list the registered models
cv-pipeline approve 1               # approve one; reject, download
cv-pipeline predict IMAGE --model 1 # ask one
cv-pipeline compare latest 1        # set executions and models side by side
cv-pipeline costs                   # say what an execution was billed, or a month
cv-pipeline estimate                # say what an execution is likely to cost
cv-pipeline history                 # uploads, verdicts and executions
cv-pipeline destroy                 # remove the deployment
"""

from __future__ import annotations

import sys

import click
from botocore.exceptions import BotoCoreError, ClientError

from ops.aws.session import Session
from ops.commands import (
    compare,
    costs,
    dataset,
    delivery,
    destroy,
    doctor,
    executions,
    models,
    preflight,
    uploads,
)
from ops.commands.executions import INTERRUPTED
from ops.errors import explain

__all__ = ["Session", "main", "run"]

COMMAND = "cv-pipeline"
"""What the help and every hint call this, also when it is started by `python -m ops`."""


@click.version_option(package_name="cv-training-pipeline", message="%(package)s %(version)s")
@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Upload a pipeline definition, watch its execution, leave a report.

    Talks to the AWS that the environment names: AWS_PROFILE, AWS_REGION, and AWS_ENDPOINT_URL for local
    AWS (python -m local up).

    Exits with 0 when it went well, 1 when the execution failed, was stopped or did not start, 2 when
    something given is wrong or cannot be reached, and 130 after Ctrl-C.
    """


for command in (
    dataset.dataset,
    doctor.doctor,
    uploads.validate,
    uploads.upload,
    executions.watch,
    executions.report,
    models.models,
    models.approve,
    models.reject,
    models.download,
    models.predict,
    compare.compare,
    costs.costs,
    costs.estimate,
    delivery.history,
    delivery.failures,
    delivery.redrive,
    delivery.reconcile,
    delivery.rollback,
    destroy.destroy,
    preflight.preflight,
):
    main.add_command(command)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; what went wrong is one sentence, never a traceback."""
    try:
        return main(arguments, COMMAND, standalone_mode=False) or 0
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
