"""The application below /-/<token>/: pages, their events, two forms. The front door lets nobody else in."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from weakref import WeakValueDictionary

from botocore.exceptions import ClientError
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from local.page.live import Drawing, Live
from local.page.logs import LINES, StepLogs
from local.page.registry import Registry
from ops.errors import AbsentError, error_message
from ops.output import words
from ops.output.page import STYLE, lasted, moment, render, render_body
from ops.output.report import read_page

_LOG = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_THREADS = 8
"""Apart from those of the server, which would all wait for the calls that they make to it."""
_FORM_BYTES = 16 << 10
_REASON_CHARACTERS = 1024
"""The longest ApprovalDescription that SageMaker takes."""
_APPROVED = "Approved on the page of local AWS"


class _ServerClients:
    """Clients of this very server, each made once."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = functools.cache(make)

    def client(self, service: str, /) -> Any:
        return self._make(service)


class _Execution:
    """An execution that somebody looks at: one reading for all of them."""

    def __init__(self, page: BrowserPage, arn: str) -> None:
        self._page = page
        self._arn = arn
        self._logs = StepLogs(page.clients.client("sagemaker"), page.clients.client("logs"))
        self._lock = threading.Lock()
        self.live = Live(lambda: page.in_thread(self.draw))

    def draw(self) -> Drawing:
        with self._lock:
            return self._page.draw_execution(self._arn, self._logs)


class BrowserPage:
    """Reads as the administrator, in threads, and only for who looks."""

    def __init__(self, root: str, client: Callable[[str], Any], notes: Sequence[str]) -> None:
        self.clients = _ServerClients(client)
        self._root = root
        self._notes = notes
        self._registry = Registry(self.clients)
        self._threads = ThreadPoolExecutor(_THREADS, "page")
        self._templates = _templates(root)
        self._home = Live(lambda: self.in_thread(self._draw_home))
        self._watched: WeakValueDictionary[str, _Execution] = WeakValueDictionary()
        routes = [
            Route("/", self.home),
            Route("/events", self.home_events),
            Route("/page.js", self.script),
            Route("/executions/{id}", self.execution),
            Route("/executions/{id}/events", self.execution_events),
            Route("/executions/{id}/report", self.report),
            Route("/approve", self.approve, methods=["POST"]),
            Route("/reject", self.reject, methods=["POST"]),
        ]
        self.application = Starlette(
            routes=[Mount(root.rstrip("/"), routes=routes)],
            exception_handlers={
                HTTPException: self.refused,
                AbsentError: self.absent,
                Exception: self.failed,
            },
        )

    def close(self) -> None:
        """End every stream of events: the server waits for them."""
        for live in [self._home, *(each.live for each in self._watched.values())]:
            live.close()

    # --- what is shown ---------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Show executions and models, and what was decided last."""
        drawing = await self.in_thread(self._draw_home)
        decided = request.query_params.get("decided")
        told = await self.in_thread(self._decision, decided) if decided else ""
        return self._show("live.html", drawing=drawing, events="events", execution="", told=told)

    async def home_events(self, request: Request) -> Response:
        """Tell of each change."""
        return _stream(request, self._home)

    async def execution(self, request: Request) -> Response:
        """Show an execution, which is redrawn while it runs."""
        execution = await self._execution(request)
        drawing = await self.in_thread(execution.draw)
        wanted = request.path_params["id"]
        events = f"executions/{wanted}/events"
        return self._show("live.html", drawing=drawing, events=events, execution=wanted, told="")

    async def execution_events(self, request: Request) -> Response:
        """Tell how the execution goes on, up to its end."""
        return _stream(request, (await self._execution(request)).live)

    async def report(self, request: Request) -> Response:
        """Show what `cv-pipeline report` would write."""
        arn = await self.in_thread(self._registry.arn_of, request.path_params["id"])
        page = await self.in_thread(read_page, self.clients, arn, self._notes)
        return HTMLResponse(render(page))

    async def script(self, _: Request) -> Response:
        """Return the script of the pages."""
        return Response((_HERE / "page.js").read_bytes(), media_type="text/javascript")

    # --- what is decided -------------------------------------------------------------------------------

    async def approve(self, request: Request) -> Response:
        """Approve a model package."""
        return await self._decide(await _form(request), "Approved", _APPROVED)

    async def reject(self, request: Request) -> Response:
        """Reject a model package, with a reason."""
        form = await _form(request)
        reason = form.get("reason", "").strip()
        if not 0 < len(reason) <= _REASON_CHARACTERS:
            raise HTTPException(
                400, f"The reason must have 1 to {_REASON_CHARACTERS} characters. Go back and try again."
            )
        return await self._decide(form, "Rejected", reason)

    async def _decide(self, form: dict[str, str], status: str, reason: str) -> Response:
        if not (name := form.get("package", "")):
            raise HTTPException(400, "The form must name a model package.")
        try:
            await self.in_thread(self._registry.decide, name, status, reason)
        except ClientError as error:
            raise HTTPException(400, f"{name} is not {status}: {error_message(error)}") from error
        # Shown by a GET, so that loading the page again decides nothing again.
        return RedirectResponse(f"{self._root}?{urlencode({'decided': name})}", HTTPStatus.SEE_OTHER)

    def _decision(self, name: str) -> str:
        """Say what the registry has of a package now, not what was asked for."""
        package = self._registry.package(name)
        reason = f": {package.approval_description}" if package.approval_description else ""
        return f"{package.name} is {package.approval_status}{reason}"

    # --- what goes wrong -------------------------------------------------------------------------------

    async def refused(self, _: Request, error: Exception) -> Response:
        """Say what is wrong with a request."""
        status = getattr(error, "status_code", 400)
        said = {404: "There is no such page.", 405: "This page is only to look at."}
        return self._tell(said.get(status) or str(getattr(error, "detail", error)), status)

    async def absent(self, _: Request, error: Exception) -> Response:
        """Say what is not there."""
        return self._tell(str(error), 404)

    async def failed(self, _: Request, error: Exception) -> Response:
        """Say that something is wrong here."""
        _LOG.error("The page for a browser failed", exc_info=error)
        return self._tell(f"Local AWS has a defect here: {type(error).__name__}: {error}", 500)

    # --- how -------------------------------------------------------------------------------------------

    async def _execution(self, request: Request) -> _Execution:
        wanted = request.path_params["id"]
        if found := self._watched.get(wanted):
            return found
        arn = await self.in_thread(self._registry.arn_of, wanted)
        made = await self.in_thread(_Execution, self, arn)
        return self._watched.setdefault(wanted, made)  # another browser may have come meanwhile

    def _draw_home(self) -> Drawing:
        executions, more = self._registry.executions()
        body = self._render(
            "home.html",
            executions=executions,
            more=more,
            models=self._registry.models(),
            now=datetime.now(UTC),
        )
        return Drawing("Local AWS", body)

    def draw_execution(self, arn: str, logs: StepLogs) -> Drawing:
        """Draw what the report shows, and the end of the logs."""
        page = read_page(self.clients, arn, self._notes)
        execution = page.snapshot.execution
        body = self._render(
            "execution.html", page=page, report=render_body(page), logs=logs.read(page.snapshot), lines=LINES
        )
        title = f"{execution.status}: {execution.pipeline_name} {execution.id}"
        return Drawing(title, body, execution.finished)

    async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a blocking call returns."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _show(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._render(template, **values), status)

    def _tell(self, sentence: str, status: int) -> Response:
        return self._show("message.html", status, told=sentence)

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)


def _templates(root: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=moment, duration=lasted)
    environment.globals.update(
        root=root, style=STYLE, pending=words.PENDING, reason_characters=_REASON_CHARACTERS
    )
    return environment


def _stream(request: Request, live: Live) -> Response:
    if request.method == "HEAD":  # which would wait for the end
        return Response(media_type="text/event-stream")
    # A browser that lost the connection names the last event that it had, the page the drawing it came with.
    seen = request.headers.get("last-event-id") or request.query_params.get("seen", "")
    return StreamingResponse(live.events(seen), media_type="text/event-stream")


async def _form(request: Request) -> dict[str, str]:
    """Read a form's fields, each of which comes once."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Only the forms of this page are taken.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM_BYTES:
            raise HTTPException(413, "The form is too long.")
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
