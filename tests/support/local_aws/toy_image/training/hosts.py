"""The instances of one training, which take each step together."""

import contextlib
import json
import os
import socket
import time

from . import BASE

RESOURCES = json.loads((BASE / "input/config/resourceconfig.json").read_text())
HOSTS, HOST = RESOURCES["hosts"], RESOURCES["current_host"]
IS_FIRST = HOSTS.index(HOST) == 0
TIMEOUT_SECONDS = 20


def meet() -> list[socket.socket]:
    """Return the connections to the others, of the first host, or to the first one; none of a host alone."""
    if len(HOSTS) == 1:
        return []
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if IS_FIRST:
        with socket.create_server(place) as server:
            server.settimeout(TIMEOUT_SECONDS)
            return [server.accept()[0] for _ in HOSTS[1:]]
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError):
            return [socket.create_connection(place, TIMEOUT_SECONDS)]
        time.sleep(0.01)
    raise TimeoutError(f"{HOST} does not find the first host at {place}")


def together(peers: list[socket.socket], step: int) -> None:
    """Wait until every host is at this step; raise ConnectionError when one is at another, or gone."""
    said = step.to_bytes(4, "big")
    if not IS_FIRST:
        peers[0].sendall(said)
    for peer in peers:
        if peer.recv(4, socket.MSG_WAITALL) != said:
            raise ConnectionError(f"{HOST} is at step {step}, and another host is not")
    if IS_FIRST:
        for peer in peers:
            peer.sendall(said)
