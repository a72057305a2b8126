"""The generated parts of README.md and of docs/configuration.md, from all islands.

    python tools/readme_blocks.py    # write them; tests/project/test_readme.py compares

Each stands between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

import re
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
sys.path[:0] = [str(ROOT), str(ROOT / "lambda")]


def blocks() -> dict[Path, dict[str, str]]:
    """Return every generated block of each document by name."""
    from infra.config import context
    from pipeline_definition import picture

    return {
        README: {**picture.blocks(), "commands": commands()},
        CONFIGURATION: {
            "context": context.table(),
            "policy": context.table(context.Policy, "Member"),
        },
    }


def commands() -> str:
    """Return the help of every command, as a terminal 100 columns wide shows it."""
    from local.__main__ import main as local
    from ops.__main__ import main as ops

    parts = []
    for name, group in (("local", local), ("ops", ops)):
        for command in group.commands.values():
            path = f"python -m {name} {command.name}"
            context = click.Context(
                command,
                info_name=path,
                terminal_width=100,
                max_content_width=100,
                help_option_names=["-h", "--help"],
            )
            parts.append(
                f"<details><summary><code>{path}</code></summary>\n\n```text\n"
                f"{command.get_help(context)}\n```\n\n</details>"
            )
    return "\n".join(parts)


def replace(text: str, wanted: dict[str, str]) -> str:
    """Put each block between its markers in `text`; ValueError when a marker is missing."""
    for name, block in wanted.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        parts = re.fullmatch(f"(.*{begin}).*({end}.*)", text, re.DOTALL)
        if not parts:
            raise ValueError(
                f"the document has no block between the lines {begin.strip()} and {end}; add both"
            )
        text = f"{parts[1]}{block}\n{parts[2]}"
    return text


if __name__ == "__main__":
    for document, wanted in blocks().items():
        document.write_text(replace(document.read_text(encoding="utf-8"), wanted), encoding="utf-8")
