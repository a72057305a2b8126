"""What the committed template asks for is there after a deployment, and what MiniStack drops is named."""

import json
from collections.abc import Iterator

import pytest

from deployed_template import DROPPED, Stack
from local.aws import LocalAWS
from local.deploy import deploy
from local.run import STACK, TEMPLATE

RESOURCES = json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        deploy(aws, TEMPLATE, STACK)
        yield Stack(aws, RESOURCES)


@pytest.mark.parametrize("logical_id", RESOURCES)
def test_a_resource_is_as_the_template_asks_for(logical_id: str, stack: Stack) -> None:
    kind, lost = RESOURCES[logical_id]["Type"], stack.differences(logical_id)
    assert {name: each for name, each in lost.items() if (kind, name) not in DROPPED} == {}
    dropped = {name for name in RESOURCES[logical_id]["Properties"] if (kind, name) in DROPPED}
    assert set(lost) == dropped, "MiniStack keeps it now: take it off the list, and out of docs/local.md"
