"""Every command that a document prints is one that exists, with options that it has: parsed, not run."""

import argparse
import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import botocore.session
import click
import pytest
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, ServiceModel

from infra.config import context_keys
from pipeline_definition.parameters import parameters
from tools.reference import DOCS, ROOT, command_groups

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^(?:export )?([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))
PARAMETERS = {each.name for each in parameters(pretrained_channel=True)}
PROGRAMS = ("make", "cv-pipeline", "python", "aws", "cdk")
"""Programs whose commands are parsed, wherever they stand in a document."""
OTHERS = {
    ".": "the shell's own",
    "curl": "of the operating system",
    "docker": "of another project; in live-checks.md, which is for people with an account",
    "echo": "the shell's own",
    "pip": "Python's own",
    "pre-commit": "of another project",
    "pytest": "parsed by its own tests",
    "set": "the shell's own",
    "uptime": "of the operating system",
}
"""Programs that are not parsed, with the reason."""
HIGH_LEVEL = {
    ("s3", "cp"): {"recursive"},
    ("s3", "ls"): {"recursive"},
    ("s3", "rm"): {"recursive"},
    ("logs", "tail"): {"follow", "since"},
}
"""Commands of the AWS CLI that are no operation of an API, with the options that documents use."""
AWS_OPTIONS = {"profile", "region", "query", "output"}


def printed(text: str) -> Iterator[str]:
    """Yield the commands of a document: lines of shell blocks, indented blocks, and code in the text."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in fenced if language in ("", "sh", "bash")]
    blocks += re.findall(r"(?<=\n\n)((?: {4}.*\n)+)", prose)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()
    for code in re.findall(r"`([^`\n]+)`", prose):
        if re.match(rf"(\.venv/bin/)?({'|'.join(PROGRAMS)}) ", code):
            yield from re.split(r", (?=python -m )", code)


def commands(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line as words; placeholders are a word, redirections are left out."""
    for inner in re.findall(r"\$\((.*?)\)", line):
        yield from commands(inner)
    line = re.sub(r"\$\(.*?\)|\$\w+|<[^<>]*>", "X", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&>")
    lexer.whitespace_split = True
    for is_end, group in itertools.groupby(lexer, lambda token: token in (";", "|", "&&")):
        words = [word for word in group if word != "..."]
        if ">" in words:
            del words[words.index(">") :]
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
        if words and not is_end:
            yield words


def check(words: list[str]) -> None:
    """Raise an error where a command does not exist, or has no such option."""
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    match program:
        case "make":
            check_make(arguments)
        case "cv-pipeline":
            check_click("cv-pipeline", arguments)
        case "python":
            check_python(arguments)
        case "aws":
            check_aws(arguments)
        case "cdk":
            assert arguments[0] in {"bootstrap", "deploy", "destroy", "diff", "flags", "gc", "ls", "synth"}, (
                arguments
            )
        case _:
            assert program in OTHERS, f"{program} is no program that is known here"


def check_make(arguments: list[str]) -> None:
    targets = [word for word in arguments if "=" not in word]
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    assert set(targets) <= TARGETS, targets
    assert given.keys() <= VARIABLES, given
    for name in re.findall(r"(\w+)=", given.get("PARAMS", "")):
        assert name in PARAMETERS, name
    more = shlex.split(given.get("ARGS", ""))
    if targets == ["destroy"]:
        check_click("cv-pipeline", ["destroy", *more])
    elif targets in (["deploy"], ["diff"], ["bootstrap"]):
        check_cdk_options(more)


def check_cdk_options(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-c", action="append", default=[])
    for option in ("--import-existing-resources", "--revert-drift"):
        parser.add_argument(option, action="store_true")
    for pair in parser.parse_args(arguments).c:
        key, _, value = pair.partition("=")
        assert key in context_keys(), key
        if "X" not in value and "..." not in value:
            context_keys()[key](key, value)


def check_click(program: str, arguments: list[str]) -> None:
    group = command_groups()[program]
    if arguments in (["--help"], ["--version"]):
        return
    with click.Context(group, info_name=program, **group.context_settings) as context:
        name, command, rest = group.resolve_command(context, arguments)
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(context, rest)
        assert command
        values = command.make_context(name, rest, parent=context).params
    for pair in values.get("pairs", ()):
        assert pair.partition("=")[0] in PARAMETERS, pair


def check_python(arguments: list[str]) -> None:
    assert arguments[0] in ("-m", "-c") or (ROOT / arguments[0]).is_file(), arguments
    if arguments[0] != "-m":
        return
    module, rest = arguments[1], arguments[2:]
    if module in ("ops", "local") and rest:
        check_click({"ops": "cv-pipeline", "local": "python -m local"}[module], rest)
    elif module == "pipeline_definition":
        help_text = (ROOT / "pipeline_definition" / "__main__.py").read_text(encoding="utf-8")
        assert all(f'"{word}"' in help_text for word in rest if word.startswith("--")), rest
    else:
        assert find_spec(module), module


def check_aws(arguments: list[str]) -> None:
    flags = [word.removeprefix("--") for word in arguments if word.startswith("--")]
    while arguments[0].removeprefix("--") in AWS_OPTIONS:
        arguments = arguments[2:]
    service, *operations = arguments
    if not operations:
        assert service in botocore.session.get_session().get_available_services(), service
        return
    operation = operations[0]
    if (service, operation) in HIGH_LEVEL:
        assert set(flags) <= HIGH_LEVEL[service, operation] | AWS_OPTIONS, flags
        return
    if operation == "wait":
        operation = waited_for(service, operations[1])
    members = {xform_name(each, "-") for each in operation_model(service, operation).input_shape.members}
    for flag in flags:
        assert flag in members | AWS_OPTIONS or flag.removeprefix("no-") in members, (operation, flag)


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Return what botocore knows of a service: reading it takes longer than all commands of a page."""
    try:
        return botocore.session.get_session().get_service_model({"s3api": "s3"}.get(service, service))
    except UnknownServiceError as error:
        raise AssertionError(f"aws has no service {service}") from error


def waited_for(service: str, name: str) -> str:
    """Return the operation that `aws SERVICE wait NAME` calls until it says so."""
    document = botocore.session.get_session().get_waiter_model(service)
    names = {xform_name(each, "-"): each for each in document.waiter_names}
    assert name in names, f"aws {service} waits for no {name}"
    operation: str = document.get_waiter(names[name]).operation
    return str(xform_name(operation, "-"))


def operation_model(service: str, operation: str) -> OperationModel:
    model = service_model(service)
    by_name = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in by_name, f"aws {service} has no {operation}"
    return model.operation_model(by_name[operation])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_document_exists_with_its_options(page: Path) -> None:
    for line in printed(page.read_text(encoding="utf-8")):
        for words in commands(line):
            try:
                check(words)
            except (AssertionError, click.ClickException, argparse.ArgumentError) as error:
                raise AssertionError(f"{page.name}: {line}: {error}") from error


def test_the_readme_prints_the_commands_that_a_first_user_needs() -> None:
    found = [words for line in printed((ROOT / "README.md").read_text()) for words in commands(line)]
    assert ["make", "run"] in found
    assert ["make", "run", "TORCH=cpu"] in found
    assert ["make", "bootstrap"] in found
    assert ["make", "deploy"] in found


@pytest.mark.parametrize(
    "line",
    [
        "make fly",
        "make run PARAMS='Epoch=3'",
        "make run DATUM=x",
        'make deploy ARGS="-c enviroment=staging"',
        'make deploy ARGS="-c retain_data=perhaps"',
        'make destroy ARGS="--everything"',
        "cv-pipeline upload --date x",
        "cv-pipeline upload -p Epoch=3",
        "cv-pipeline vanish",
        "cv-pipeline dataset fetch dogs",
        "cv-pipeline dataset vanish",
        "cv-pipeline history --limit many",
        "python -m ops uplaod",
        "python -m local run --speed 2",
        "python -m pipeline_definition --subnet 2",
        "python -m local.no_such_module",
        "aws sagemaker list-pipeline",
        "aws sagemaker list-pipelines --pipeline-nam x",
        "aws sagemakers list-pipelines",
        "AWS_PROFILE=x aws s3 cp a b --recursively",
        "frobnicate",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    (words,) = commands(line)
    with pytest.raises((AssertionError, click.ClickException, argparse.ArgumentError, ValueError)):
        check(words)
