"""What is uploaded in the worlds of `tests/support/delivery/world.py`, and which of it is valid."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.delivery.handler_uploads import BUCKET, ENVIRONMENT
from tests.support.services.fake_sagemaker import REFUSED_WHEN_STARTED, REFUSED_WHEN_STORED
from upload_trigger.definition import loading

__all__ = ["BODIES", "BUCKET", "ENVIRONMENT", "KEYS", "PARAMETERS", "UploadedDefinition"]

KEYS = ("pipeline/pipeline.json", "pipeline/night/pipeline.json")
PIPELINES = dict(zip(KEYS, ("cv-birds", "cv-birds-night"), strict=True))

_EPOCHS = {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3}
_NOTE = {"Name": "Note", "Type": "String"}


def _definition(message: str, *parameters: dict[str, Any], step_name: str = "Stop") -> bytes:
    step = {"Name": step_name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    document = {"Version": "2020-12-01", "Parameters": [_EPOCHS, *parameters], "Steps": [step]}
    # Not as the handler writes it, so that sending the bytes as they came would show.
    return json.dumps(document, indent=1).encode()


_FOREIGN = {
    "Name": "Train",
    "Type": "Lambda",
    "FunctionArn": "arn:aws:lambda:us-east-1:999999999999:function:theirs",
    "Arguments": {},
}

BODIES = {
    "first": _definition("first"),
    "second": _definition("second"),
    "third": _definition("third"),
    "needs a note": _definition("noted", _NOTE),
    "no JSON": b'{"Version": ',
    "forbidden": json.dumps({"Version": "2020-12-01", "Steps": [_FOREIGN]}).encode(),
    "refused when stored": _definition("refused", step_name=REFUSED_WHEN_STORED),
    "refused when started": _definition("refused", step_name=REFUSED_WHEN_STARTED),
}
"""By kind, the bytes of a definition."""
PLAIN = ("first", "second", "third")
NEEDY = "needs a note"
UNSTORABLE, UNSTARTABLE = "refused when stored", "refused when started"
"""What SageMaker refuses, and the function does not."""
BAD = frozenset({"no JSON", "forbidden"})
"""What must never reach SageMaker."""

PARAMETERS = {
    "none": b"{}",
    "epochs": b'{"Epochs": 5}',
    "a note": b'{"Epochs": 7, "Note": "mine"}',
    "wrong": b'{"Epochs": "many"}',
    "no JSON": b"{",
}
"""By kind, the bytes of a parameters.json."""
GIVEN = {"none": {}, "epochs": {"Epochs": "5"}, "a note": {"Epochs": "7", "Note": "mine"}}


@dataclass(frozen=True)
class UploadedDefinition:
    """One uploaded definition."""

    key: str
    version_id: str
    sequencer: str
    kind: str
    moment: int

    def __str__(self) -> str:
        return f"{self.version_id} ({self.kind})"

    @property
    def body(self) -> bytes:
        """The bytes that were uploaded."""
        return BODIES[self.kind]

    @property
    def pipeline(self) -> str:
        """The pipeline that the key stands for."""
        return PIPELINES[self.key]

    @property
    def text(self) -> str:
        """The definition as SageMaker is to get it."""
        return TEXTS[self.kind]


def is_valid(kind: str, parameters: str) -> bool:
    """Return whether a definition may start with the parameters.json of a kind beside it."""
    return is_admitted(kind, parameters) and kind not in (UNSTORABLE, UNSTARTABLE)


def is_admitted(kind: str, parameters: str) -> bool:
    """Return whether the function has nothing against it, whatever SageMaker will say."""
    if kind in BAD or parameters not in GIVEN:
        return False
    return (parameters == "a note") == (kind == NEEDY)


def parameters_key(key: str) -> str:
    """Return the key of the parameters.json beside a definition."""
    return f"{key.rpartition('/')[0]}/parameters.json"


TEXTS = {kind: loading.serialise(loading.load(body)) for kind, body in BODIES.items() if kind not in BAD}
