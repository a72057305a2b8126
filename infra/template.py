"""Write infra/template.json, the stack as CloudFormation gets it, for review and for local AWS.

    python -m infra.template            # write it
    python -m infra.template --check    # exit 1 when it is not what the sources synthesise to

Needs Node (the `infra` extra brings one: put the environment's bin folder on PATH), but no AWS account.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App

from infra.assembly import build
from infra.config import POLICY_FILE, DeploymentPolicy, read_context

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "infra" / "template.json"


def synthesise(
    context: Mapping[str, Any] | None = None, policy: DeploymentPolicy | None = None
) -> dict[str, Any]:
    """Return the stack's template, as `cdk synth` would: with the choices given, or with the repository's."""
    if context is None:
        context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
        policy = DeploymentPolicy.read(ROOT / POLICY_FILE)
    with tempfile.TemporaryDirectory(prefix="cdk-out-") as outdir:
        app = App(outdir=outdir, context=dict(context), tree_metadata=False)
        stack = build(app, config=read_context(context, policy))
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    return template


def render(template: Mapping[str, Any]) -> str:
    """Return the template as the text that is committed: sorted, indented, ending in a newline."""
    return json.dumps(template, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write or check infra/template.json; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.template", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when it is out of date")
    check = parser.parse_args().check
    fresh = render(synthesise())
    current = TEMPLATE.read_text(encoding="utf-8") if TEMPLATE.exists() else ""
    if check and fresh != current:
        print("infra/template.json is out of date: run python -m infra.template, commit it", file=sys.stderr)
        return 1
    if fresh != current:
        TEMPLATE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
