"""What cfn-lint finds in templates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def findings(*templates: Path) -> list[dict[str, Any]]:
    """Run cfn-lint, warnings included, with the service models that it carries."""
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found
