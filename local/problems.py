"""What a person sees when something goes wrong: one sentence and an exit code, never a traceback."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import PortTakenError, ServerEndedError
from local.deploy import DeployError, TemplateError
from ops.errors import explain


@contextmanager
def explained() -> Iterator[None]:
    """Turn known failures into a message on stderr and an exit: 1 failed, 2 a mistake, 130 Ctrl-C."""
    try:
        yield
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; every process was ended.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ClientError, BotoCoreError) as error:
        _end(str(explain(error)), 1)
    except (PortTakenError, TemplateError) as error:
        _end(str(error), 2)
    except (DeployError, ServerEndedError) as error:
        _end(str(error), 1)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            where = error.filename or tempfile.gettempdir()
            _end(f"the disk is full at {where}: free some space, or set TMPDIR to a folder that has some", 1)
        if error.filename is None:
            raise
        _end(f"cannot use {error.filename}: {error.strerror}; check the path and its permissions", 2)


def _end(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
