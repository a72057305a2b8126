"""Write pipeline.json from the pipeline's source, or check that the committed file is what it gives.

    python -m pipeline_definition                  write pipeline_definition/pipeline.json
    python -m pipeline_definition --check          exit 1 with a short diff if the file differs
    python -m pipeline_definition --pretrained-channel --output my-pipeline.json
    python -m pipeline_definition --subnets 2 --security-groups 1 --output vpc-pipeline.json

Needs the extra `pipeline` (the SageMaker SDK); needs neither AWS nor a network.
"""

import argparse
import difflib
import itertools
import sys
from pathlib import Path

COMMITTED = Path(__file__).with_name("pipeline.json")
DIFF_LINES = 40


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline_definition", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--output", type=Path, help=f"file to write or check (default: {COMMITTED.name} here)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file differs")
    parser.add_argument(
        "--pretrained-channel",
        action="store_true",
        help="the variant whose trainings read backbone weights from the parameter PretrainedUrl",
    )
    for option, what, most in (("--subnets", "subnets", 16), ("--security-groups", "security groups", 5)):
        parser.add_argument(
            option,
            type=int,
            choices=range(1, most + 1),
            default=0,
            metavar="N",
            help=f"the variant whose jobs run in so many {what} of a VPC (1 to {most}), the deployment's",
        )
    options = parser.parse_args(arguments)
    variant = {name: getattr(options, name) for name in ("pretrained_channel", "subnets", "security_groups")}
    if bool(options.subnets) != bool(options.security_groups):
        parser.error("--subnets and --security-groups go together: a job's VPC needs both")
    if any(variant.values()) and not options.output:
        parser.error("a variant needs --output FILE: the committed file is the plain pipeline")

    from pipeline_definition.pipeline import render  # noqa: PLC0415 - the SDK's import takes seconds

    text = render(**variant)
    path = options.output or COMMITTED
    if options.check:
        return _check(path, text)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}")
    return 0


def _check(path: Path, text: str) -> int:
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    if present == text:
        return 0
    diff = difflib.unified_diff(
        present.splitlines(), text.splitlines(), str(path), "built from source", lineterm="", n=2
    )
    lines = list(itertools.islice(diff, DIFF_LINES + 1))
    print("\n".join(lines[:DIFF_LINES]))
    if len(lines) > DIFF_LINES:
        print("...")
    print(f"{path} is not what its source gives; run: python -m pipeline_definition", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
