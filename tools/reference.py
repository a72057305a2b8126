"""Write the generated parts of the documents: commands, keys, parameters, and the picture of the pipeline.

    python tools/reference.py            # write them
    python tools/reference.py --check    # exit 1 when one is not what the sources give

Each stands between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ISLANDS = ("image_data", "infra", "lambda", "pipeline_definition", "training", "local", "ops", "tools")
sys.path[:0] = [str(ROOT), str(ROOT / "lambda")]


def blocks() -> dict[Path, dict[str, str]]:
    """Return every generated block of each document by name."""
    from infra.config import context
    from infra.config.deployment_policy import DeploymentPolicy
    from pipeline_definition import picture

    drawn = picture.blocks()
    return {
        DOCS / "architecture.md": {"pipeline": drawn["pipeline"], "rooms": rooms()},
        DOCS / "commands.md": {"commands": commands()},
        DOCS / "configuration.md": {
            "context": context.table(),
            "policy": context.table(DeploymentPolicy, "Member"),
            "parameters": drawn["parameters"],
        },
        DOCS / "training.md": {"hyper-parameters": hyper_parameters()},
    }


def hyper_parameters() -> str:
    """Return the hyper-parameters as a table, with a column for the value that the meaning says to be off."""
    from training.hyper_parameters import TABLE, Choices

    rows = ["| name | laptop | gpu | off | unit | legal values | meaning |", "|---|---|---|---|---|---|---|"]
    for name, entry in TABLE.items():
        laptop, gpu = (f"`{entry.default_of(profile)}`" for profile in ("laptop", "gpu"))
        if name == "profile":
            laptop = gpu = "`auto`"
        meaning = entry.meaning
        off = re.search(r"[;.] (`?\w+`?) (is off|leaves [\w ]+|takes the middle)\.$", meaning)
        if off and off[2] == "is off":  # the column says it
            meaning = meaning[: off.start()] + "."
        legal = entry.legal.description
        if isinstance(entry.legal, Choices):
            legal = ", ".join(f"`{word}`" for word in entry.legal.words)
        rows.append(
            f"| `{name}` | {laptop} | {gpu} | {off[1] if off else ''} | {entry.unit} | {legal} | {meaning} |"
        )
    return "\n".join(rows)


def rooms() -> str:
    """Return the product's packages as a table, each with the first line of its docstring."""
    rows = ["| folder | subject |", "|---|---|"]
    for island in ISLANDS:
        for path in sorted((ROOT / island).rglob("__init__.py")):
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            if not said:
                raise ValueError(
                    f"{path.relative_to(ROOT)} has no docstring: say in a line what the package is"
                )
            first = said.partition("\n")[0]
            rows.append(f"| `{path.parent.relative_to(ROOT)}/` | {first} |")
    return "\n".join(rows)


def command_groups() -> dict[str, click.Group]:
    """Return the command lines of the product by what starts them."""
    from local.__main__ import main as local
    from ops.__main__ import main as ops

    return {"cv-pipeline": ops, "python -m local": local}


def commands() -> str:
    """Return the help of every command, as a terminal 100 columns wide shows it."""
    parts = []
    for program, group in command_groups().items():
        for name, command in commands_of(program, group):
            context = click.Context(
                command,
                info_name=name,
                terminal_width=100,
                max_content_width=100,
                help_option_names=["-h", "--help"],
            )
            parts.append(f"### {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def commands_of(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of `group` and of the groups in it, each with its whole name."""
    for command in group.commands.values():
        whole = f"{name} {command.name}"
        if isinstance(command, click.Group):
            yield from commands_of(whole, command)
        else:
            yield whole, command


def replace(text: str, wanted: dict[str, str]) -> str:
    """Return `text` with each block between its markers; raise ValueError when a marker is missing."""
    for name, block in wanted.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        parts = re.fullmatch(f"(.*{begin}).*({end}.*)", text, re.DOTALL)
        if not parts:
            raise ValueError(
                f"the document has no block between the lines {begin.strip()} and {end}; add both"
            )
        text = f"{parts[1]}{block}\n{parts[2]}"
    return text


def main() -> int:
    """Write or check the documents; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python tools/reference.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="compare only; exit 1 when a part is out of date"
    )
    check = parser.parse_args().check
    stale = False
    for document, wanted in blocks().items():
        text = document.read_text(encoding="utf-8")
        fresh = replace(text, wanted)
        if check and fresh != text:
            print(f"docs/{document.name} is out of date: run make generate, commit it", file=sys.stderr)
            stale = True
        elif fresh != text:
            document.write_text(fresh, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
