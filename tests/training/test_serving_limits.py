"""What the server does before the model is there, when too much comes at once, and too slowly."""

import asyncio
import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from starlette.types import Message

from training.serving import bodies, predictor
from training.serving.app import InferenceService
from training.serving.predictor import Answer, Queue

ANSWER: Answer = [{"class": "a", "class_id": 1, "probability": 1.0}]


class SlowQueue(Queue):
    """A queue whose answers a test lets out."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def answer(self, data: bytes) -> Answer:
        await self.go.wait()
        return ANSWER


class Exchange:
    """One request as uvicorn hands it on, and what is answered."""

    def __init__(
        self, service: InferenceService, method: str, path: str, parts: Iterable[bytes] = ()
    ) -> None:
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self._app, self._parts = service.app(), iter(parts)
        self._scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"content-type", b"image/png")],
            "query_string": b"",
        }

    async def ask(self) -> tuple[int, dict[str, Any]]:
        await self._app(self._scope, self._receive, self._send)
        return self.status, json.loads(self.body)

    async def _receive(self) -> Message:
        part = next(self._parts, None)
        if part == b"":  # no more will come
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]


def invoke(service: InferenceService, *parts: bytes) -> Exchange:
    return Exchange(service, "POST", "/invocations", parts)


def test_before_the_model_is_loaded_nothing_is_ready_and_a_client_may_come_again() -> None:
    async def ask() -> None:
        service = InferenceService()
        for request in (Exchange(service, "GET", "/ping"), invoke(service, b"x")):
            assert await request.ask() == (503, {"error": "the model is being loaded"})
            assert request.headers["retry-after"] == "1"
        service.queue = SlowQueue()
        assert await Exchange(service, "GET", "/ping").ask() == (200, {"status": "ready"})

    asyncio.run(ask())


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 3), ("MAX_HELD", 30)])
def test_who_is_too_many_is_sent_away_until_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(bodies, limit, value)

    async def ask() -> None:
        service = InferenceService()
        service.queue = queue = SlowQueue()
        waiting = [asyncio.create_task(invoke(service, b"12345", b"67890").ask()) for _ in range(3)]
        await asyncio.sleep(0.05)
        fourth = invoke(service, b"x")
        assert await fourth.ask() == (503, {"error": "the server is busy with other images; send it again"})
        assert fourth.headers["retry-after"] == "1"
        assert (await Exchange(service, "GET", "/ping").ask())[0] == 200
        queue.go.set()
        assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 3
        # What was refused on the way is not counted any more.
        assert [(await invoke(service, b"1234567890").ask())[0] for _ in range(5)] == [200] * 5

    asyncio.run(ask())


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    async def ask() -> None:
        service = InferenceService()
        service.queue = SlowQueue()
        slow = invoke(service, b"half", b"")
        assert await slow.ask() == (408, {"error": "the body did not come within 0.05 s"})
        assert slow.headers["connection"] == "close"  # what comes yet is no request

    asyncio.run(ask())


def test_large_images_are_decoded_one_after_the_other_and_small_ones_together() -> None:
    async def most_at_once(amount: int) -> int:
        budget = predictor.Budget(100)
        now = most = 0

        async def spend() -> None:
            nonlocal now, most
            async with budget.spend(amount):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(spend() for _ in range(10)))
        return most

    assert asyncio.run(most_at_once(1000)) == 1  # more than there is: alone
    assert asyncio.run(most_at_once(60)) == 1
    assert asyncio.run(most_at_once(30)) == 3


class Network(predictor.Predictor):
    """A network of at most four images at once, which notes how many, and waits until it may go on."""

    batch = 4

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def memory(self, data: bytes) -> int:
        return 1

    def prepare(self, data: bytes) -> torch.Tensor:
        return torch.zeros(3, 32, 32)

    def classify(self, images: Sequence[torch.Tensor]) -> list[Answer]:
        self.sizes.append(len(images))
        self.go.wait(10)
        return [ANSWER for _ in images]


def test_what_comes_while_the_network_is_busy_goes_through_it_together() -> None:
    async def ask() -> list[int]:
        service, network = InferenceService(), Network()
        service.queue = Queue(network)
        first = asyncio.create_task(invoke(service, b"x").ask())
        while not network.sizes:  # alone, and at once
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(invoke(service, b"x").ask()) for _ in range(9)]
        await asyncio.sleep(0.3)
        network.go.set()
        assert [status for status, _ in await asyncio.gather(first, *others)] == [200] * 10
        return network.sizes

    assert asyncio.run(ask()) == [1, 4, 4, 1]


class BrokenOnce(Network):
    """A network that fails the first time."""

    def classify(self, images: Sequence[torch.Tensor]) -> list[Answer]:
        self.sizes.append(len(images))
        if len(self.sizes) == 1:
            raise RuntimeError("out of memory")
        return [ANSWER for _ in images]


def test_a_network_that_fails_is_the_server_s_fault_and_asked_again_the_next_time() -> None:
    async def ask() -> None:
        service = InferenceService()
        service.queue = Queue(BrokenOnce())
        failed = invoke(service, b"x")
        with pytest.raises(RuntimeError, match="out of memory"):  # for uvicorn, which logs the traceback
            await failed.ask()
        assert failed.status == 500
        assert json.loads(failed.body) == {"error": "the server failed; its log says why"}
        assert await invoke(service, b"x").ask() == (200, {"predictions": ANSWER})

    asyncio.run(ask())
