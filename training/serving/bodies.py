"""The bodies that are taken: one encoded image as it is, or JSON with images in base64."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

JSON = "application/json"
CONTENT_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "application/x-image",
    # What boto3 and the SageMaker SDK say where the caller says nothing.
    "application/octet-stream",
    JSON,
)
"""The model package lists the same. What an image is, its first bytes say, whatever its type."""

MAX_BODY = 25 << 20
"""The largest payload that a real-time endpoint passes on, in bytes."""
MAX_HELD = 256 << 20
"""Bytes of all bodies that have come and are not decoded yet: ten of the largest, hundreds of photographs."""
MAX_WAITING = 64
"""Images that wait or are worked on; two cores answer so many photographs well within SageMaker's 60 s."""
MAX_IMAGES = 32
"""Images of one body, so that two bodies can wait at once."""
BODY_SECONDS = 60
"""In which a body must have come; SageMaker waits no longer for the answer."""


class Admission:
    """Counts what the server holds, and sends away whoever would be too much."""

    def __init__(self) -> None:
        self.bytes = self.images = 0

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Count what one request adds, until it is answered."""
        held = Held(self)
        try:
            yield held
        finally:
            self.bytes -= held.bytes
            self.images -= held.images


class Held:
    """What one request holds."""

    def __init__(self, all_requests: Admission) -> None:
        self._all = all_requests
        self.bytes = self.images = 0

    def add(self, *, size: int = 0, images: int = 0) -> None:
        """Count more; raise 503 where it would be too much."""
        if self._all.bytes + size > MAX_HELD or self._all.images + images > MAX_WAITING:
            raise busy("the server is busy with other images; send it again")
        for each in (self, self._all):
            each.bytes += size
            each.images += images


def busy(message: str) -> HTTPException:
    """Return what a request is answered with that may come again."""
    return HTTPException(503, message, headers={"Retry-After": "1"})


def content_type(request: Request) -> str:
    """Return the type of a request's body, one of CONTENT_TYPES."""
    kind = media_type(request.headers.get("content-type", ""))
    if kind not in CONTENT_TYPES:
        raise HTTPException(415, f"Content-Type {kind or 'missing'}: send {', '.join(CONTENT_TYPES)}")
    return kind


def media_type(value: str) -> str:
    """Return the type alone, without parameters and in small letters."""
    return value.partition(";")[0].strip().lower()


def check_accept(request: Request) -> None:
    """Refuse to answer who takes no JSON."""
    accepted = [media_type(each) for each in request.headers.get("accept", "").split(",")]
    if not {JSON, "application/*", "*/*", ""} & set(accepted):
        raise HTTPException(406, f"Accept {', '.join(accepted)}: the answer is {JSON}")


async def read(request: Request, held: Held) -> bytes:
    """Read a body to its end, whether its length is told before or not."""
    parts: list[bytes] = []
    size = int(request.headers.get("content-length", 0))
    if size > MAX_BODY:
        raise _too_large(size)
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY:
                    raise _too_large(size)
                held.add(size=len(part))
                parts.append(part)
    except TimeoutError as error:
        # What comes yet is no new request.
        raise HTTPException(
            408, f"the body did not come within {BODY_SECONDS} s", headers={"Connection": "close"}
        ) from error
    if not size:
        raise HTTPException(400, "the body is empty: send one image")
    return b"".join(parts)


def _too_large(size: int) -> HTTPException:
    return HTTPException(413, f"{size:,} bytes are more than the {MAX_BODY:,} allowed")


def parse_json(body: bytes) -> tuple[list[bytes], bool]:
    """Return the images of a JSON body, and whether it is a list of them."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    members = sorted(document) if isinstance(document, dict) else []
    if members == ["image"]:
        return [_decode(document["image"], "image")], False
    if members != ["images"] or not isinstance(document["images"], list):
        raise HTTPException(
            400, 'the JSON must be {"image": "<base64>"} or {"images": ["<base64>", ...]} and nothing else'
        )
    if not 1 <= len(document["images"]) <= MAX_IMAGES:
        raise HTTPException(
            400, f"images must have from 1 to {MAX_IMAGES} images, not {len(document['images'])}"
        )
    return [_decode(text, f"images[{place}]") for place, text in enumerate(document["images"])], True


def _decode(text: Any, name: str) -> bytes:
    if not isinstance(text, str):
        raise HTTPException(400, f"{name} must be text in base64, not {type(text).__name__}")
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise HTTPException(400, f"{name} is not base64: {error}") from error
