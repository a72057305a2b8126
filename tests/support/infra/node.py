"""Where the CDK's libraries find Node."""

import os
import sys
from pathlib import Path


def path_with_node() -> str:
    """Return a PATH that finds the environment's own Node, which the CDK's libraries run in."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
