"""Where AWS would say what is wrong: told with each finding, as far as it is known of AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.engine.definition import STEP_TYPES, DefinitionError, parse
from pipeline_definition.checks import MAX_FINDINGS, Finding, Place, check
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.small import (
    changed,
    condition,
    parameter,
    processing,
    referring,
    saying,
    small,
    step,
    training,
    without,
)
from upload_trigger import policy
from upload_trigger.definition import loading, walk
from upload_trigger.settings import RULES, Policy

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = json.loads((ROOT / "pipeline_definition" / "pipeline.json").read_bytes())
AT = ("Steps", 0, "Arguments")
TRAINED = small(training(), Parameters=[{"Name": "Count", "Type": "Integer", "DefaultValue": 1}])
REGISTERED = small({"Name": "R", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": "birds"}})


SOURCE = {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix", "CompressionType": "None"}
MORE_DATA = {
    "Image": "scores:1",
    "AdditionalModelDataSources": [{"ChannelName": "more", "S3DataSource": SOURCE}],
}


def found(definition: dict[str, Any]) -> list[Finding]:
    return check(definition, bundled_model())


def trained(*path: str | int, to: Any) -> dict[str, Any]:
    return changed(TRAINED, *AT, *path, to=to)


def processed(**arguments: Any) -> dict[str, Any]:
    return small(processing(**arguments))


def test_nothing_is_said_against_the_shipped_definition() -> None:
    assert found(SHIPPED) == []


REFUSED_AT_CREATION = {
    # The definition's own grammar.
    "version": small(step()) | {"Version": "2021"},
    "an experiment that is no object": small(step(), PipelineExperimentConfig="birds"),
    "an experiment's name that is none": small(step(), PipelineExperimentConfig={"TrialName": ["a"]}),
    "a step after a failure": small(step(), step("B", DependsOn=["A"])),
    "no steps": small(),
    "a name twice": small(step(), step()),
    "a type with a slip": small(step(Type="Trainig")),
    "a parameter's type": parameter(Type="Int"),
    "a default that is none of the values": parameter(EnumValues=[1, 2], DefaultValue=3),
    "a condition that lacks a side": small(condition({"Type": "Equals", "LeftValue": 1})),
    "a reference that leads nowhere": small(referring("Parameters.Epochs")),
    "a step that is not there": small(step(DependsOn=["B"])),
    "a cycle": small(step(DependsOn=["A"])),
    "a path that is no text": small(saying({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": {}}})),
    "a cache": small(step(CacheConfig={"Enabled": "yes"})),
    # "Expecting start of Json Array", and Object.
    "a parameter for a list": trained("Tags", to={"Get": "Parameters.Count"}),
    "a text for a list": trained("Tags", to="a"),
    "a text for an object": trained("ResourceConfig", to="ml.m5.large"),
    # "Cannot assign property reference [Parameters.Count] to argument of type [String]"
    "a number for a text": trained("HyperParameters", to={"count": {"Get": "Parameters.Count"}}),
    # "Unknown Argument member"
    "a member with a slip": trained("Hyperparameters", to={}),
    "a name that the service gives": changed(REGISTERED, *AT, "ModelPackageName", to="birds"),
    # "Model Validation failed: Value ... failed to satisfy enum value set"
    "a value of no enumeration": trained("AlgorithmSpecification", "TrainingInputMode", to="Files"),
}
REFUSED_AT_THE_START = {
    "eleven inputs": processed(ProcessingInputs=[{"InputName": f"i{number}"} for number in range(11)]),
    "a pattern": trained("RoleArn", to="me"),
    "a number": trained("ResourceConfig", "InstanceCount", to=-1),
    "another type of scalar": trained("ResourceConfig", "InstanceCount", to="2"),
    "what is missing": without(TRAINED, *AT, "RoleArn"),
    "a joined text": trained("RoleArn", to={"Std:Join": {"On": "", "Values": ["me"]}}),
    "null": trained("ResourceConfig", to=None),
    "a name twice": trained("Tags", to=[{"Key": "a", "Value": ""}] * 2),
    "an input and an output": processed(ProcessingInputs=[{"InputName": "train"}]),
    "an empty argument": processed(AppSpecification={"ImageUri": "i", "ContainerArguments": [""]}),
    "waiting on demand": trained("StoppingCondition", "MaxWaitTimeInSeconds", to=60),
    "tags of a version": changed(REGISTERED, *AT, "Tags", to=[{"Key": "a", "Value": ""}]),
}
DOUBTED = {
    "a newer type": small(step(Type="QuantumAnnealing")),
    "a newer member of a definition": small(step(), Owner="me"),
    "a newer member of an experiment": small(step(), PipelineExperimentConfig={"Owner": "me"}),
    "a newer argument": trained("Quantum", to=1),
    "an argument that CreatePipeline once did not know": changed(
        REGISTERED, *AT, "InferenceSpecification", to={"Containers": [MORE_DATA]}
    ),
    "a newer instance type": trained("ResourceConfig", "InstanceType", to="ml.m9.large"),
    "a text for a number": trained("ResourceConfig", "InstanceCount", to={"Get": "Execution.PipelineName"}),
    "retries that come faster": small(
        step(RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"], "BackoffRate": 0.5}])
    ),
}


@pytest.mark.parametrize("parameters", [{"Parameters": None}, {"Parameters": []}, {}])
@pytest.mark.parametrize("version", [{"Version": "2020-12-01"}, {}])
def test_a_definition_needs_neither_a_version_nor_parameters(
    version: dict[str, Any], parameters: dict[str, Any]
) -> None:
    definition = {**version, **parameters, "Steps": [step()]}
    assert found(definition) == []
    read_back = parse(json.dumps(definition))
    assert ([*read_back.steps], read_back.parameters) == (["A"], {})


@pytest.mark.parametrize("what", REFUSED_AT_CREATION)
def test_what_create_pipeline_refuses_is_told_as_such(what: str) -> None:
    assert {each.place for each in found(REFUSED_AT_CREATION[what])} == {Place.CREATE}


@pytest.mark.parametrize("what", REFUSED_AT_THE_START)
def test_what_only_the_job_s_api_refuses_is_told_with_the_step(what: str) -> None:
    definition = REFUSED_AT_THE_START[what]
    told = found(definition)
    assert {each.place for each in told} == {Place.RUN}
    assert {each.step for each in told} == {definition["Steps"][0]["Name"]}


@pytest.mark.parametrize("what", DOUBTED)
def test_what_nobody_is_known_to_refuse_is_advice(what: str) -> None:
    assert {each.place for each in found(DOUBTED[what])} == {Place.ADVICE}


@pytest.mark.parametrize("what", REFUSED_AT_THE_START | DOUBTED)
def test_local_aws_takes_what_create_pipeline_is_not_known_to_refuse(what: str) -> None:
    definition = (REFUSED_AT_THE_START | DOUBTED)[what]
    (only,) = definition["Steps"]
    if only["Type"] in STEP_TYPES:
        assert [*parse(json.dumps(definition)).steps] == [only["Name"]]
    else:
        with pytest.raises(DefinitionError, match="type QuantumAnnealing, which local AWS does not run"):
            parse(json.dumps(definition))


def test_findings_come_by_place_and_at_most_a_hundred_of_each() -> None:
    wrong = [step(f"S{number}", DependsOn=["Nobody"], Newer=1) for number in range(MAX_FINDINGS)]
    jobs = [training(f"T{number}", RoleArn="me", Newer=1) for number in range(MAX_FINDINGS + 1)]
    assert [each.place for each in found(small(*jobs, *wrong))] == [
        *[Place.CREATE] * MAX_FINDINGS,
        *[Place.RUN] * MAX_FINDINGS,
        *[Place.ADVICE] * MAX_FINDINGS,
    ]


def test_a_member_in_the_plural_comes_before_its_consequences_with_what_was_meant() -> None:
    made = processing("Make")
    made["Arguments"]["ProcessingOutputs"] = made["Arguments"].pop("ProcessingOutputConfig")["Outputs"]
    location = {"Get": "Steps.Make.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}
    first, *rest = found(small(made, step("Stop", Arguments={"ErrorMessage": location})))
    assert (first.place, first.pointer) == (Place.CREATE, "/Steps/0/Arguments/ProcessingOutputs")
    assert first.message.endswith("did you mean ProcessingOutputConfig?")
    assert rest


def test_what_create_pipeline_refuses_is_told_after_any_number_of_other_findings() -> None:
    jobs = [training(f"T{number}", RoleArn="me") for number in range(200)]
    last = training("Last", AlgorithmSpecification=[])
    places = [each.place for each in found(small(*jobs, last))]
    assert places == [Place.CREATE, *[Place.RUN] * MAX_FINDINGS]


def test_the_checks_need_no_sdk_and_no_credentials() -> None:
    code = "import sys, pipeline_definition.checks; assert 'sagemaker' not in sys.modules, 'imported'"
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)


PUBLIC = ROOT.parent / "shared" / "data" / "definitions"


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public definitions are not beside the repository")
def test_public_definitions_are_taken_or_refused_by_name() -> None:
    paths = sorted(PUBLIC.glob("*.json"))
    assert len(paths) > 20
    for path in paths:
        definition = loading.load(path.read_bytes())
        assert check(definition, bundled_model()) == [], path.name
        steps = [(at, each) for at, each, _ in walk.steps(definition)]
        not_run = ["".join(f"/{part}" for part in at) for at, each in steps if each["Type"] not in STEP_TYPES]
        if not_run:
            with pytest.raises(DefinitionError) as refused:
                parse(path.read_text(encoding="utf-8"))
            assert [each.partition("/Type: step ")[0] for each in refused.value.errors] == not_run, path.name
        else:
            assert len(parse(path.read_text(encoding="utf-8")).steps) == len(steps), path.name
        declared = walk.parameters(definition)
        values = {name: each.get("DefaultValue", "given") for name, each in declared.items()}
        refusals = policy.problems(definition, values, {}, Policy())
        rules = {each.message.rpartition("[rule ")[2].rstrip("]") for each in refusals}
        assert rules <= set(RULES), path.name
        assert {f"{at}/Type" for at in not_run} <= {each.pointer for each in refusals}, path.name
