"""The two ways to offer a deployment to Studio and the project's template, each synthesised once."""

import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.iam.role_table import ACCOUNT, REGION
from tests.support.shared import made_once

USERS = f"arn:aws:iam::{ACCOUNT}:role/service-role/StudioUsers"
OFFERS: dict[str, dict[str, Any]] = {
    "s3": {"studio_template": "s3", "studio_principals": USERS},
    "catalog": {
        "studio_template": "catalog",
        "studio_principals": USERS,
        "studio_versions": "0123456789ab",
    },
}
PROJECT = {"SageMakerProjectName": "Birds-of-the-North", "SageMakerProjectId": "p-abc123def456"}
STACK = "SP-p-abc123def456"
LAUNCH_ROLE = f"arn:aws:iam::{ACCOUNT}:role/cv-birds-studio-launch-{REGION}"
TEMPLATES = f"cv-birds-{ACCOUNT}-{REGION}-tmpl"
Template = dict[str, Any]


@functools.cache
def _offer(name: str) -> str:
    def synthesise() -> str:
        from infra import template

        return template.render(template.synthesise(OFFERS[name]))

    text: str = made_once(f"offer {name}", synthesise)
    return text


@functools.cache
def _project() -> str:
    text: str = made_once("project", _synthesised_project)
    return text


def _synthesised_project() -> str:
    from infra.config import read_context
    from infra.studio import boundary
    from infra.studio import project as studio_project
    from infra.studio.studio_names import StudioNames

    config = read_context(OFFERS["s3"])
    names = StudioNames(config.name)
    template = studio_project.synthesise(config, names)
    boundary.bind(template, names)
    return json.dumps(template, sort_keys=True)


def offer(synthesis: ModuleType, name: str) -> Template:
    """Return the deployment's template with one of the offers in it; `synthesis` has Node on the PATH."""
    template: Template = json.loads(_offer(name))
    return template


def project(synthesis: ModuleType) -> Template:
    """Return the template that Studio makes projects of."""
    template: Template = json.loads(_project())
    return template


def write(template: Template, folder: Path, name: str = "template.json") -> Path:
    """Write a template to a file."""
    path = folder / name
    path.write_text(json.dumps(template), encoding="utf-8")
    return path
