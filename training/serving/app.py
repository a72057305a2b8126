"""The paths that SageMaker asks: /ping, /invocations, /execution-parameters."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan
from uvicorn.protocols.http.h11_impl import H11Protocol

from training.serving import bodies
from training.serving.predictor import Answer, Queue

PATHS = "GET /ping, POST /invocations, GET /execution-parameters"
TRANSFORM_PAYLOADS = 100 << 20
"""What a batch transform may have under way: its MaxConcurrentTransforms times MaxPayloadInMB, in bytes."""


class InferenceService:
    """What answers: nothing but that it is loading until it has a queue."""

    def __init__(self) -> None:
        self.queue: Queue | None = None
        self._admission = bodies.Admission()

    def app(self, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
        """Return the application that uvicorn serves."""
        routes = [
            Route("/ping", self.ping, methods=["GET"]),
            Route("/invocations", self.invocations, methods=["POST"]),
            Route("/execution-parameters", execution_parameters, methods=["GET"]),
        ]
        handlers = {HTTPException: refuse, ClientDisconnect: forget, Exception: apologise}
        app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
        app.router.redirect_slashes = False
        return app

    async def ping(self, _request: Request) -> Response:
        """Answer 200 once the model is loaded."""
        self._loaded()
        return JSONResponse({"status": "ready"})

    async def invocations(self, request: Request) -> Response:
        """Answer the images of a body with their classes."""
        queue = self._loaded()
        bodies.check_accept(request)
        kind = bodies.content_type(request)
        with self._admission.hold() as held:
            body = await bodies.read(request, held)
            if kind != bodies.JSON:
                images, is_list = [body], False
            else:
                images, is_list = await queue.in_thread(bodies.parse_json, body)
            del body  # of JSON, what is in it is enough
            held.add(images=len(images))
            predictions = await _answers(queue, images) if is_list else await queue.answer(images[0])
        return JSONResponse({"predictions": predictions})

    def _loaded(self) -> Queue:
        if self.queue is None:
            raise bodies.busy("the model is being loaded")
        return self.queue


async def _answers(queue: Queue, images: list[bytes]) -> list[Answer]:
    """Answer all images of a body, or say which one has no answer."""
    answers: list[Answer] = []
    for place, answer in enumerate(await asyncio.gather(*map(queue.answer, images), return_exceptions=True)):
        if isinstance(answer, HTTPException):
            raise HTTPException(answer.status_code, f"images[{place}]: {answer.detail}") from answer
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers


async def execution_parameters(_request: Request) -> Response:
    """Tell a batch transform how to ask: one image a request, and so many requests at once."""
    return JSONResponse(
        {
            "MaxConcurrentTransforms": TRANSFORM_PAYLOADS // bodies.MAX_BODY,
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": bodies.MAX_BODY >> 20,
        }
    )


async def refuse(_request: Request, error: Exception) -> Response:
    """Say what is wrong with a request."""
    error = cast(HTTPException, error)
    messages = {404: f"no such path: {PATHS}", 405: f"no such method of this path: {PATHS}"}
    message = messages.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def forget(_request: Request, _error: Exception) -> Response:
    """Return what nobody reads: the client has gone."""
    return Response(status_code=400)


async def apologise(_request: Request, _error: Exception) -> Response:
    """Say no more than that it is not the request's fault; the log has the traceback."""
    return JSONResponse({"error": "the server failed; its log says why"}, 500)


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1: answers in JSON also what is no HTTP, and lets go of who says nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for a first request as long as for a body."""
        super().connection_made(transport)
        self.loop.call_later(bodies.BODY_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()  # type: ignore[unreachable]  # None until there is a request

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; where an answer has begun, its connection just ends."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
        else:
            super().send_400_response(json.dumps({"error": msg}))
