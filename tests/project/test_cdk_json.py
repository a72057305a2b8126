"""cdk.json works as CDK's users expect: it finds its Python, and every feature flag has a value."""

import json
import os
import subprocess
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CDK_JSON: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))
LEFT_OUT = {
    # CDK would sort the members of our statements. None of them can be merged: each has a Sid of its own.
    "@aws-cdk/aws-iam:minimizePolicies",
    # It adds a log group to every function without one: with no key, and under the name of what Lambda itself
    # made at the first call, so that the update of an existing deployment would fail.
    "@aws-cdk/aws-lambda:useCdkManagedLogGroup",
}


def test_every_feature_flag_that_cdk_recommends_is_set_but_for_two() -> None:
    library = find_spec("aws_cdk")
    assert library
    assert library.origin
    (bundle,) = Path(library.origin).parent.glob("_jsii/aws-cdk-lib@*.tgz")
    with tarfile.open(bundle) as archive:
        member = archive.extractfile("package/recommended-feature-flags.json")
        assert member
        recommended = json.load(member)
    ours = {name: value for name, value in CDK_JSON["context"].items() if name.startswith("@")}
    assert ours.keys() == recommended.keys()
    assert {name for name in recommended if ours[name] != recommended[name]} == LEFT_OUT


def python_that_runs(folder: Path, **environment: str) -> str:
    """What the line "app" starts, by what each Python of the folder says of itself."""
    (folder / "app.py").touch()
    done = subprocess.run(
        ["sh", "-c", CDK_JSON["app"]],
        cwd=folder,
        env={"PATH": f"{folder / 'path'}:{os.defpath}", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def install(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\necho "{path.parent.parent.name}" "$@"\n')
    path.chmod(0o755)


@pytest.mark.parametrize("folder", ["clone", "a clone"])
def test_the_app_runs_with_the_active_environment_else_that_of_the_clone_else_python3(
    tmp_path: Path, folder: str
) -> None:
    clone, active = tmp_path / folder, tmp_path / "active"
    install(clone / "path" / "python3")
    assert python_that_runs(clone) == f"{folder} app.py"
    install(clone / ".venv" / "bin" / "python")
    assert python_that_runs(clone) == ".venv app.py"
    install(active / "bin" / "python")
    assert python_that_runs(clone, VIRTUAL_ENV=str(active)) == "active app.py"
