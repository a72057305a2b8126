"""Print where each AWS service's requests go, as JSON: {service: {operation: URL}}.

    python where_requests_go.py botocore | awscli.botocore

For each service this is one operation, and each whose request may go elsewhere than the client's endpoint.
Nothing is sent.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any


class _SeenError(Exception):
    """Instead of sending."""


def main(package: str) -> None:
    """Print what the clients of this botocore do; the AWS CLI has one of its own."""
    session = importlib.import_module(f"{package}.session").Session()
    token = importlib.import_module(f"{package}.tokens").FrozenAuthToken("token")
    session.get_component("token_provider").load_token = lambda **_: _Token(token)
    found = {}
    for service in session.get_available_services():
        client = session.create_client(service)
        found[service] = {name: _ask(client, name) for name in _operations(client.meta.service_model)}
    print(json.dumps(found))


class _Token:
    def __init__(self, frozen: Any) -> None:
        self._frozen = frozen

    def get_frozen_token(self) -> Any:
        return self._frozen


def _operations(service: Any) -> Iterator[str]:
    told = False
    for name in service.operation_names:
        operation = service.operation_model(name)
        if operation.endpoint or operation.context_parameters or operation.static_context_parameters:
            told = True
            yield name
    if not told:
        yield next(iter(service.operation_names))


def _ask(client: Any, name: str) -> str:
    """Return the URL of an operation's request, or the type of the error before there is any."""
    urls: list[str] = []

    def seen(request: Any, **_: Any) -> None:
        urls.append(request.url)
        raise _SeenError

    client.meta.events.register("before-send", seen, unique_id="seen")
    shape = client.meta.service_model.operation_model(name).input_shape
    try:
        client._make_api_call(name, _value(shape) if shape else {})
    except _SeenError:
        return urls[0]
    except Exception as error:  # noqa: BLE001 - the test says which services may have one
        return type(error).__name__
    finally:
        client.meta.events.unregister("before-send", unique_id="seen")
    raise AssertionError(f"{name} sent no request")


def _value(shape: Any) -> Any:
    """Return the least value of a shape that a client lets pass."""
    least = max(1, shape.metadata.get("min", 1))
    if shape.type_name == "structure":
        chosen = (
            list(shape.members)[:1] if getattr(shape, "is_tagged_union", False) else shape.required_members
        )
        return {name: _value(shape.members[name]) for name in chosen}
    if shape.type_name == "list":
        return [_value(shape.member)] * least
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * max(3, least)
    simple = {"map": {}, "blob": b"x", "boolean": False, "timestamp": 0}
    return simple.get(shape.type_name, least)


if __name__ == "__main__":
    main(sys.argv[1])
