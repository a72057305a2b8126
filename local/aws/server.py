"""The server of local AWS: `python -m local.aws.server`, which LocalAWS starts and talks to.

It reads a line of JSON from its standard input with its settings and answers with the administrator's keys;
further lines are questions (`Server.ask`). It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import hypercorn.asyncio
import hypercorn.config
import ministack.app
from ministack.core import lambda_runtime

from local.aws import adapters
from local.aws.adapters import access, sagemaker
from local.aws.fault_injection import Interference, speed_up_schedules
from local.aws.faults import SPEED, Dice
from local.aws.front_door import PAGE, FrontDoor, Receive, Scope, Send
from local.aws.host import ServerHost
from local.aws.sagemaker_door import SageMakerDoor
from local.engine.host import AccessDeniedError
from local.engine.jobs.session import JobSettings
from local.sagemaker.service import SageMaker

_RUNTIME = Path(__file__).parent / "function_runtime"
"""What Python starts with in a function's process."""


class Server:
    """MiniStack with our SageMaker in it, on a socket that is open already."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._descriptor: int = settings["descriptor"]
        port = int(os.environ["GATEWAY_PORT"])
        self._host = ServerHost(
            endpoint_url=f"http://localhost:{port}",
            region=settings["region"],
            account=settings["account"],
            work_dir=Path(settings["work_dir"]),
            iam_is_on=settings["iam"],
        )
        adapters.apply(self._host, settings["without"])
        if not settings["iam"]:
            access.allow_everything()
        self._sagemaker = SageMaker(self._host, JobSettings(**settings["jobs"]))
        SageMakerDoor(self._host, self._sagemaker).open()
        sagemaker.add_types(self._sagemaker)
        seed = settings["faults"]
        self._faults = None if seed is None else Interference(Dice(seed))
        token = secrets.token_urlsafe()
        self._page = _Page(f"{PAGE}{token}/", self._host.client, settings["notes"])
        self._page_url = f"{self._host.endpoint_url}{PAGE}{token}/"
        application = self._faults.application if self._faults else ministack.app.app
        self._door = FrontDoor(port, application, self._page, token)
        if speed := settings["schedule_speed"] or (SPEED if self._faults else None):
            speed_up_schedules(speed)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_tell_what_went_wrong)
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)
        self._host.make_administrator()

    def start(self) -> dict[str, Any]:
        """Serve in a thread, and return the administrator's keys and the address for a browser."""
        # Functions inherit it; this process has started without it.
        os.environ["PYTHONPATH"] = str(_RUNTIME)
        self._thread.start()
        return {"keys": self._host.keys, "page_url": self._page_url}

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a question of LocalAWS."""
        if question["ask"] == "role":
            return self._role(question)
        if self._faults is None:
            return {"refused": "local AWS was started without faults"}
        if question["ask"] == "cease":
            self._faults.cease()
        return {"idle": self._faults.is_idle()}

    def close(self) -> None:
        """End executions, jobs and functions, then stop serving."""
        try:
            self._sagemaker.close()
        finally:
            lambda_runtime.reset()
            self._loop.call_soon_threadsafe(self._page.close)
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(5)

    def _role(self, question: dict[str, Any]) -> dict[str, Any]:
        role, trusted = question["role"], question["trusted"]
        try:
            if trusted:
                self._host.check_trust(role, trusted, question["source"])
        except AccessDeniedError as denied:
            return {"denied": str(denied)}
        return {"environment": self._host.role_environment(role, question["name"])}

    def _serve(self) -> None:
        config = hypercorn.config.Config()
        config.bind = [f"fd://{self._descriptor}"]
        config.keep_alive_timeout = 75
        config.errorlog = None
        config.graceful_timeout = 0.5
        door: Any = self._door  # Hypercorn's types of an application are narrower than ASGI's
        served = hypercorn.asyncio.serve(door, config, shutdown_trigger=self._end.wait)
        self._loop.run_until_complete(served)


class _Page:
    """The page for a browser, imported when somebody first looks: it takes a third of a second."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._page: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._page is None:
            from local.page.app import BrowserPage  # noqa: PLC0415

            self._page = BrowserPage(*self._arguments)
        await self._page.application(scope, receive, send)

    def close(self) -> None:
        """End what would keep the server from ending."""
        if self._page:
            self._page.close()


def _tell_what_went_wrong(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out connections that the end of the server cut off: Hypercorn has cancelled them."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def main() -> None:
    """Serve until the standard input ends."""
    # The jobs' transfers and the server hand each other the interpreter at every piece of an object. Python's
    # own interval of 5 ms makes a large input take twice as long.
    sys.setswitchinterval(0.0002)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("ministack").setLevel(logging.ERROR)
    questions, answers = sys.stdin, _answers()
    settings = json.loads(questions.readline())
    server = Server(settings)
    _tell(answers, server.start())
    try:
        for line in questions:
            _tell(answers, _answer(server, line))
    finally:
        server.close()
    # MiniStack's threads wait for ever and hold nothing.
    os._exit(0)


def _answer(server: Server, line: str) -> dict[str, Any]:
    try:
        return server.ask(json.loads(line))
    except Exception as error:  # noqa: BLE001 - whoever asks is told, and the server goes on
        return {"refused": f"{type(error).__name__}: {error}"}


def _answers() -> TextIO:
    """Return the standard output for answers alone; whatever else is printed goes to the standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
