"""The bill of materials says what the training image is built from, in a form that other tools read."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.image_sbom import ROOT, SBOM, render

COMMITTED = SBOM.read_text(encoding="utf-8")


def test_the_committed_file_is_what_the_image_is_built_from() -> None:
    assert comparable(COMMITTED) == comparable(render()), "run make generate"


def comparable(text: str) -> dict[str, Any]:
    """Leave out licences of packages that another Python has in another version than the image."""
    document: dict[str, Any] = json.loads(text)
    for component in document["components"]:
        if "licenses" in component and metadata.version(component["name"]) != component["version"]:
            del component["licenses"]
    return document


def test_it_is_valid() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(COMMITTED) is None


def test_it_lists_the_base_and_every_package_once() -> None:
    document = json.loads(COMMITTED)
    names = [component["name"] for component in document["components"]]
    assert len(names) == len(set(names))
    wanted = {
        line.partition("==")[0]
        for file in ("requirements.txt", "constraints-cuda.txt")
        for line in (ROOT / "training" / file).read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert set(names) == {"python", *wanted}
    (base,) = (each for each in document["components"] if each["name"] == "python")
    assert base["hashes"][0]["content"] in (ROOT / "training" / "Dockerfile").read_text()


def test_making_it_twice_gives_the_same_bytes() -> None:
    assert render() == render()


def test_it_is_a_part_of_the_image() -> None:
    dockerfile = (ROOT / "training" / "Dockerfile").read_text()
    ignored = Path(ROOT / "training" / "Dockerfile.dockerignore").read_text()
    assert "COPY training/ training/" in dockerfile
    assert "json" not in ignored
