"""`cv-pipeline validate`: offline, with the function's own code and messages."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from ops import __main__ as cli
from ops.uploads import validation
from ops.uploads.parameters import DEPLOYMENT_PARAMETERS
from tests.support.definitions.small import processing, small, step
from tests.support.ops.deployment import ENVIRONMENT, MotoDeployment, definition, deployment
from upload_trigger import handler
from upload_trigger.definition import walk

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "pipeline_definition" / "pipeline.json"


def validate(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run the command and give its exit code with everything that it said."""
    capsys.readouterr()
    code = cli.run(["validate", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def upload_without_aws(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run upload, which checks what it is given before it asks AWS."""
    code = cli.run(["upload", str(SHIPPED), *arguments])
    return code, capsys.readouterr().err


def write(path: Path, document: Any) -> str:
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return str(path)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no credentials, no region."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("offline means offline")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("ops.aws.session.boto3.Session", refuse)


@pytest.mark.usefixtures("offline")
def test_the_shipped_definition_is_sound(capsys: Captured) -> None:
    shipped = json.loads(SHIPPED.read_bytes())
    steps, parameters = sum(1 for _ in walk.steps(shipped)), len(shipped["Parameters"])
    code, said = validate(capsys, str(SHIPPED))
    assert code == 0
    assert said.startswith(
        f"{SHIPPED} is sound: {steps} steps, {parameters} parameters; an execution costs at most "
    )


@pytest.mark.usefixtures("offline")
def test_everything_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path, capsys: Captured) -> None:
    document = definition()
    document["Steps"][0]["Type"] = "Fale"
    document["Parameters"] = [{"Name": "Epochs", "Type": "Integr"}]
    code, said = validate(capsys, write(tmp_path / "d.json", document))
    assert code == 2
    assert "d.json would not run:" in said
    assert "\n  CreatePipeline refuses: /Steps/0/Type: " in said
    assert "\n  CreatePipeline refuses: /Parameters/0/Type: " in said
    assert (
        "d.json would be rejected by the deployed function:\n  /Parameters/0: Epochs needs a DefaultValue"
        in said
    )
    assert "Traceback" not in said


@pytest.mark.usefixtures("offline")
def test_each_fault_is_told_with_who_on_aws_would_refuse_it(tmp_path: Path, capsys: Captured) -> None:
    command = {"ImageUri": "scores:1", "ContainerArguments": ["--name", ""]}
    document = small(
        processing("Score", AppSpecification=command),
        step("Stop", DependsOn=["Nobody"], Newer=1),
        Parameters=[{"Name": "Name", "Type": "String", "DefaultValue": ""}],
    )
    path, values = write(tmp_path / "d.json", document), write(tmp_path / "v.json", {"Name": ""})
    code, said = validate(capsys, path, "--parameters", values)
    assert code == 2
    lines = said.splitlines()
    assert lines[0].endswith(f"{path} would not run:")
    assert [line.partition(": /")[0] for line in lines[1:4]] == [
        "  CreatePipeline refuses",
        "  the job of step Score would be refused",
        "  advice",
    ]
    assert lines[4:] == [
        f"{values} would be rejected by the deployed function, beside {path}:",
        "  /Name: SageMaker takes no empty value; leave it out",
    ]


@pytest.mark.usefixtures("offline")
def test_of_a_value_that_the_deployment_gives_nothing_is_said_offline(
    tmp_path: Path, capsys: Captured
) -> None:
    command = {"ImageUri": "i", "ContainerArguments": [{"Get": "Parameters.OutputKmsKeyId"}]}
    declared = [{"Name": "OutputKmsKeyId", "Type": "String", "DefaultValue": ""}]
    document = small(processing(AppSpecification=command), Parameters=declared)
    assert "would be refused" not in validate(capsys, write(tmp_path / "d.json", document))[1]


@pytest.mark.usefixtures("offline")
def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "d.json"
    with path.open("wb") as file:
        file.truncate(6_000_000_000)  # a sparse file: whoever reads it all takes minutes
    for arguments in ([str(path)], [str(SHIPPED), "--parameters", str(path)]):
        code, said = validate(capsys, *arguments)
        assert code == 2
        assert "d.json has 6,000,000,000 bytes; at most " in said


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("socket", "it is a socket; give a file"),
        ("folder", "it is a folder; give a file"),
        ("device", "it is a device; give a file"),
        ("link to nothing", "No such file or directory"),
        ("kernel's", "has more than "),
    ],
)
def test_what_is_no_file_is_refused_without_reading_it(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("d.json")
    match kind:
        case "socket":
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.close()
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "link to nothing":
            path.symlink_to("nothing")
        case "kernel's":
            if not Path("/proc/self/pagemap").exists():
                pytest.skip("no file here says that it is empty and is large")
            path.symlink_to("/proc/self/pagemap")
    for arguments in ([str(path)], [str(SHIPPED), "--parameters", str(path)]):
        code, text = validate(capsys, *arguments)
        assert (code, text.count("\n")) == (2, 1)
        assert text.startswith("Error: ")
        assert said in text


@pytest.mark.usefixtures("offline")
def test_a_pipe_is_read_as_a_shell_makes_one(tmp_path: Path, capsys: Captured) -> None:
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(SHIPPED.read_bytes(),))
    writer.start()
    assert validate(capsys, str(pipe))[0] == 0
    writer.join()


@pytest.mark.usefixtures("offline")
def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.json"
    path.write_text("{}")
    path.chmod(0)
    if os.access(path, os.R_OK):  # of root the permissions are not asked

        def forbid(opened: Path, *_: Any) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(opened))

        monkeypatch.setattr(Path, "open", forbid)
    assert validate(capsys, str(path)) == (
        2,
        f"Error: cannot read the definition {path}: Permission denied\n",
    )


@pytest.mark.usefixtures("offline")
def test_what_windows_saves_is_read_or_told_by_its_name(tmp_path: Path, capsys: Captured) -> None:
    body = SHIPPED.read_bytes()
    assert validate(capsys, write(tmp_path / "bom.json", b"\xef\xbb\xbf" + body))[0] == 0
    code, said = validate(capsys, write(tmp_path / "utf16.json", body.decode().encode("utf-16")))
    assert code == 2
    assert "utf16.json is not a pipeline definition:\n  the document: UTF-16, as > and Out-File" in said


@pytest.mark.usefixtures("offline")
def test_of_values_too_what_windows_saves_is_read_or_told_by_its_name(
    tmp_path: Path, capsys: Captured
) -> None:
    values = b'{"Epochs": 3}\r\n'
    with_mark = write(tmp_path / "bom.json", b"\xef\xbb\xbf" + values)
    assert validate(capsys, str(SHIPPED), "--parameters", with_mark)[0] == 0
    packed = write(tmp_path / "packed.json", gzip.compress(values))
    code, said = validate(capsys, str(SHIPPED), "--parameters", packed)
    assert code == 2
    assert "packed.json would be rejected by the deployed function, beside " in said
    assert "\n  the document: compressed by gzip; write it uncompressed" in said


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"Version": 1, "Version": 2}', b"7"])
def test_what_is_not_even_json_is_refused_in_one_sentence(
    tmp_path: Path, capsys: Captured, body: bytes
) -> None:
    code, said = validate(capsys, write(tmp_path / "d.json", body))
    assert code == 2
    assert "d.json is not a pipeline definition" in said
    assert validate(capsys, str(tmp_path / "none.json"))[0] == 2


@pytest.mark.usefixtures("offline")
def test_what_the_code_does_not_know_is_refused_by_the_default_policy_by_name(
    tmp_path: Path, capsys: Captured
) -> None:
    document = definition()
    document["Steps"].append({"Name": "Quantum", "Type": "QuantumAnnealing", "Arguments": {}})
    code, said = validate(capsys, write(tmp_path / "d.json", document))
    assert code == 2
    assert "d.json would run, with advice:\n  advice: /Steps/1/Type: " in said
    assert "would be rejected by the default policy (--stack NAME asks a deployment's):" in said
    assert '\n  /Steps/1/Type: "QuantumAnnealing" steps may not run here' in said


def test_what_neither_the_code_nor_a_deployment_minds_is_advice(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    off = dict.fromkeys(("step_types", "cost"), "we try what is new")
    deployment.function.environment["DEPLOYMENT_POLICY"] = json.dumps({"policy_off": off})
    document = definition()
    document["Steps"].append({"Name": "Quantum", "Type": "QuantumAnnealing", "Arguments": {}})
    code, said = validate(capsys, write(tmp_path / "d.json", document), "--stack", "cv-birds")
    assert code == 0
    assert "\n  advice: /Steps/1/Type: " in f"\n{said}"
    assert "is sound: 2 steps, 0 parameters" in said


@pytest.mark.usefixtures("offline")
def test_what_only_the_size_as_it_is_sent_forbids_is_told(tmp_path: Path, capsys: Captured) -> None:
    document = definition("\u00fc" * 300_000)
    body = json.dumps(document, ensure_ascii=False).encode()
    code, said = validate(capsys, write(tmp_path / "d.json", body))
    assert code == 2
    assert "characters as ASCII JSON; SageMaker takes at most 1,048,576" in said


@pytest.mark.usefixtures("offline")
def test_both_files_are_told_of_when_both_are_wrong(tmp_path: Path, capsys: Captured) -> None:
    path, values = write(tmp_path / "d.json", {"Version": "1", "Steps": []}), tmp_path / "v.json"
    code, said = validate(capsys, path, "--parameters", write(values, b"{"))
    assert code == 2
    assert "\n  CreatePipeline refuses: /Version: " in said
    assert f"{values} would be rejected by the deployed function, beside {path}:\n  the doc" in said


@pytest.mark.usefixtures("offline")
def test_values_beside_it_are_judged_too(tmp_path: Path, capsys: Captured) -> None:
    good = write(tmp_path / "good.json", {"Epochs": 3, "Backbone": "efficientnet_lite0"})
    bad = write(
        tmp_path / "bad.json", {"Epoch": 3, "ImageSize": "big", "ExecutionRoleArn": "arn:aws:iam::1:role/x"}
    )
    assert validate(capsys, str(SHIPPED), "--parameters", good)[0] == 0
    code, said = validate(capsys, str(SHIPPED), "--parameters", bad)
    assert code == 2
    for pointer in ("Epoch", "ImageSize", "ExecutionRoleArn"):
        assert f"\n  /{pointer}: " in said
    assert said.count("would be rejected") == 1, "the policy says nothing of values that do not fit"
    code, said = upload_without_aws(capsys, "--parameters", bad)
    assert (code, f"{bad} would be rejected by the deployed function, beside " in said) == (2, True)


@pytest.mark.usefixtures("offline")
def test_a_parameter_that_nothing_gives_a_value_to_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    document = definition(parameters=[{"Name": "Folder", "Type": "String"}])
    path = write(tmp_path / "d.json", document)
    code, said = validate(capsys, path)
    assert code == 2
    assert "/Parameters/0: Folder needs a DefaultValue" in said
    values = write(tmp_path / "v.json", {"Folder": "birds"})
    assert validate(capsys, path, "--parameters", values)[0] == 0


def test_the_reasons_of_the_functions_verdict_are_among_what_is_said(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    document = definition(parameters=[{"Name": "Folder", "Type": "String"}, {"Name": "Folder", "Type": "X"}])
    version = deployment.put(document)
    record = deployment.records[version]
    (verdict,) = handler.handler({"Records": [record]}, None)
    said = validate(capsys, write(tmp_path / "d.json", document), "--stack", "cv-birds")[1]
    assert verdict["verdict"] == "REJECTED"
    lines = [f"  {each['pointer']}: {each['message']}" for each in verdict["reasons"]]
    assert lines
    assert said.splitlines()[-len(lines) - 1 :] == [
        f"{tmp_path / 'd.json'} would be rejected by the deployed function:",
        *lines,
    ]


def test_what_validate_takes_for_given_is_what_the_template_gives() -> None:
    template = json.loads((ROOT / "infra" / "template.json").read_text())
    functions = [
        each["Properties"]["Environment"]["Variables"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
    ]
    (variables,) = functions
    optional = {"OutputKmsKeyId", "VolumeKmsKeyId"}  # of deployments with a key
    for name, given in (
        ("PIPELINE_PARAMETERS", DEPLOYMENT_PARAMETERS),
        ("PIPELINE_PARAMETER_DEFAULTS", validation.offline({}).parameter_defaults),
    ):
        # Fn::Join of the JSON text and what only the deployment knows.
        parts = variables[name]["Fn::Join"][1]
        text = "".join(each if isinstance(each, str) else "known later" for each in parts)
        assert json.loads(text).keys() | optional == set(given) | optional


@pytest.mark.usefixtures("offline")
def test_a_value_that_an_execution_would_fail_for_is_told_whoever_gives_it(
    tmp_path: Path, capsys: Captured
) -> None:
    wrong = json.loads(SHIPPED.read_bytes())
    walk.parameters(wrong)["ImageSize"]["DefaultValue"] = 9
    at = f"/Parameters/{list(walk.parameters(wrong)).index('ImageSize')}"
    said = f"the execution would fail: {at}: ImageSize is 9 but must be a whole number from 32 to 1024"
    given = write(tmp_path / "parameters.json", {"ImageSize": "9"})
    for arguments in ([write(tmp_path / "d.json", wrong)], [str(SHIPPED), "--parameters", given]):
        code, output = validate(capsys, *arguments)
        assert (code, output.splitlines()[1:]) == (2, [f"  {said}"])
    mended = write(tmp_path / "parameters.json", {"ImageSize": 32})
    assert validate(capsys, write(tmp_path / "d.json", wrong), "--parameters", mended)[0] == 0


def test_a_definition_for_a_vpc_is_judged_as_if_the_deployment_had_it(
    tmp_path: Path, capsys: Captured
) -> None:
    document = json.loads(SHIPPED.read_bytes())
    document["Parameters"] += [{"Name": "SubnetId1", "Type": "String"}]
    document["Parameters"] += [{"Name": "SecurityGroupId1", "Type": "String"}]
    config = {
        "Subnets": [{"Get": "Parameters.SubnetId1"}],
        "SecurityGroupIds": [{"Get": "Parameters.SecurityGroupId1"}],
    }
    for _, each, _ in walk.steps(document):
        if each["Type"] in ("Processing", "Training"):
            each["Arguments"].get("NetworkConfig", each["Arguments"])["VpcConfig"] = config
    assert validate(capsys, write(tmp_path / "d.json", document))[0] == 0
    del document["Steps"][1]["Arguments"]["VpcConfig"]
    code, said = validate(capsys, write(tmp_path / "d.json", document))
    assert code == 2
    command = "python -m pipeline_definition --subnets 1 --security-groups 1 --output FILE"
    assert f"/Steps/1/Arguments/VpcConfig: missing; {command}" in said


def test_a_named_stack_judges_with_its_policy(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    path = write(tmp_path / "d.json", definition())
    code, said = validate(capsys, path, "--stack", "cv-birds")
    assert code == 0
    assert "is sound: 1 step, 0 parameters" in said


def test_a_stack_whose_function_is_of_another_version_is_told(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    del deployment.function.environment["DEPLOYMENT_POLICY"]
    path = write(tmp_path / "d.json", definition())
    code, said = validate(capsys, path, "--stack", "cv-birds")
    assert code == 2
    assert "stack cv-birds: the function's environment lacks DEPLOYMENT_POLICY" in said
    assert ENVIRONMENT["DEPLOYMENT_POLICY"]
    assert validate(capsys, path, "--stack", "cv-brids")[0] == 2
