"""The function's code as Lambda has it: alone in a folder with boto3, imported in the init phase."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import botocore
import pytest

from local.deploy import SOURCE, zip_sources

RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
"""What Lambda's runtime brings: boto3 and what that needs."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
IN_LAMBDA = {**CREDENTIALS, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
EVENT = """
record = {"eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": {
    "bucket": {"name": "birds"}, "object": {"key": "pipeline/pipeline.json", "versionId": "1"}}}
try:
    handler.handler({"Records": [record]}, None)
except handler.StartError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function's zip, unpacked, and the runtime's packages beside it."""
    folder = tmp_path_factory.mktemp("task")
    zipfile.ZipFile(io.BytesIO(zip_sources(SOURCE))).extractall(folder / "code")
    installed = Path(botocore.__file__).parents[1]
    (folder / "runtime").mkdir()
    for name in RUNTIME:
        (folder / "runtime" / name).symlink_to(installed / name)
    return folder


def run(task: Path, program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program with the function's code and the runtime on its path, and nothing else."""
    path = f"import sys; sys.path[:0] = [{str(task / 'code')!r}, {str(task / 'runtime')!r}]\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + program],
        env={"AWS_EC2_METADATA_DISABLED": "true", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_code_imports_alone_with_boto3_in_an_empty_environment(task: Path) -> None:
    done = run(task, "from upload_trigger import handler; print(handler.clients.cache_info().currsize)", {})
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("0", "", 0)


def test_in_lambda_the_clients_are_made_while_it_is_imported(task: Path) -> None:
    program = "from upload_trigger import handler; print(handler.clients.cache_info().currsize)"
    done = run(task, program, IN_LAMBDA)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_without_a_region_the_first_event_says_so(task: Path) -> None:
    variables = dict.fromkeys(("PIPELINE_PARAMETER_DEFAULTS", "DEPLOYMENT_POLICY"), "{}")
    variables |= dict.fromkeys(("PIPELINE_NAME", "PIPELINE_ROLE_ARN"), "birds")
    variables |= {"PIPELINE_PARAMETERS": '{"ArtifactBucket": "birds"}', "ON_RUNNING": "parallel"}
    done = run(task, f"from upload_trigger import handler{EVENT}", {**CREDENTIALS, **variables})
    assert done.stdout.strip() == "NoRegionError: You must specify a region."


def test_an_environment_that_is_broken_is_told_at_every_event(task: Path) -> None:
    done = run(task, f"from upload_trigger import handler{EVENT}{EVENT}", IN_LAMBDA)
    said = "SettingsError: the function's environment lacks PIPELINE_NAME, "
    assert [line.startswith(said) for line in done.stdout.splitlines()] == [True, True]


def test_a_runtime_that_cannot_pin_a_version_says_so_while_it_is_imported(task: Path, tmp_path: Path) -> None:
    model = botocore.loaders.create_loader().load_service_model("sagemaker", "service-2")
    del model["shapes"]["StartPipelineExecutionRequest"]["members"]["PipelineVersionId"]
    folder = tmp_path / "sagemaker" / "2017-07-24"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(model))

    done = run(task, "from upload_trigger import handler", {**IN_LAMBDA, "AWS_DATA_PATH": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"upload_trigger.handler.StartError: this runtime has botocore {botocore.__version__}, whose "
        "StartPipelineExecution has no PipelineVersionId; botocore 1.40.0 or later is needed"
    )
