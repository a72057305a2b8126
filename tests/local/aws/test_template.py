"""What the template of each profile asks for is there after a deployment; what MiniStack drops is named."""

from collections.abc import Iterator

import pytest

from local.aws import LocalAWS
from local.deploy import deploy
from local.run import STACK
from tests.support.infra.deployed_template import DROPPED, Stack
from tests.support.infra.profiles import PROFILES
from tests.support.local_aws.deployed import write_template


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stack]]:
    """Each profile on a local AWS of its own."""
    folder = tmp_path_factory.mktemp("aws")
    with (
        LocalAWS(work_dir=folder / "default") as by_default,
        LocalAWS(work_dir=folder / "hardened") as hardened,
    ):
        found = {}
        for profile, aws in (("default", by_default), ("hardened", hardened)):
            deploy(aws, write_template(PROFILES[profile], folder), STACK)
            found[profile] = Stack(aws, PROFILES[profile]["Resources"])
        yield found


@pytest.mark.parametrize(
    ("profile", "logical_id"),
    [(profile, name) for profile in PROFILES for name in PROFILES[profile]["Resources"]],
)
def test_a_resource_is_as_the_template_asks_for(
    profile: str, logical_id: str, stacks: dict[str, Stack]
) -> None:
    resource, lost = PROFILES[profile]["Resources"][logical_id], stacks[profile].differences(logical_id)
    kind = resource["Type"]
    assert {name: each for name, each in lost.items() if (kind, name) not in DROPPED} == {}
    dropped = {name for name in resource["Properties"] if (kind, name) in DROPPED}
    assert set(lost) == dropped, "MiniStack keeps it now: take it off the list, and out of docs/local.md"
