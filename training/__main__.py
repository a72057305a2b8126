"""The image's entry point: SageMaker starts it as `image train` or `image serve`.

python -m training train|serve|preprocess|evaluate [arguments]
"""

from __future__ import annotations

import difflib
import runpy
import sys

COMMANDS = ("preprocess", "train", "evaluate", "serve")


def main() -> None:
    """Run the step that the first argument names, as `python -m training.<step>` would."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        sys.exit(f"unknown command {command!r}: one of {', '.join(COMMANDS)}{hint}")
    del sys.argv[1]
    runpy.run_module(f"training.{command}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
