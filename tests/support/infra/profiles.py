"""The templates of the two security profiles: the committed one, and the hardened one, synthesised here."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from local.run import TEMPLATE as COMMITTED
from tests.support.infra.node import path_with_node
from tests.support.local_aws.deployed import write_template
from tests.support.shared import made_once

Template = dict[str, Any]
HARDENED_CONTEXT = {"project": "cv-birds", "security": "hardened"}


def synthesise(**context: Any) -> Template:
    """Return the template of cv-birds with these context keys."""
    with pytest.MonkeyPatch.context() as patch:
        # The import starts Node.
        patch.setenv("PATH", path_with_node())
        infra = importlib.import_module("infra.template")
    template: Template = infra.synthesise({"project": "cv-birds", **context})
    return template


DEFAULT: Template = json.loads(COMMITTED.read_text(encoding="utf-8"))
HARDENED: Template = made_once("hardened", lambda: synthesise(**HARDENED_CONTEXT))
PROFILES = {"default": DEFAULT, "hardened": HARDENED}


def write_template_without_second_factor(directory: Path) -> Path:
    """Write the hardened template as `break_glass_requires_mfa=false` makes it.

    Local AWS knows no codes of a device: nobody becomes the break-glass role that asks for one.
    """
    template = copy.deepcopy(HARDENED)
    (role,) = (
        each["Properties"]
        for each in template["Resources"].values()
        if "-break-glass-" in json.dumps(each.get("Properties", {}).get("RoleName", ""))
    )
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"].pop("Bool") == {"aws:MultiFactorAuthPresent": "true"}
    return write_template(template, directory)
