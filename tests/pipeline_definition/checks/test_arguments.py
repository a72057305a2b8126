"""A step's Arguments against the request that SageMaker makes of them: types, names, expressions."""

from typing import Any

import pytest
from botocore.loaders import create_loader
from botocore.model import ServiceModel

from pipeline_definition.checks import Place, check
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.small import (
    ROLE,
    changed,
    problems,
    processing,
    small,
    step,
    the_problem,
    the_warning,
    training,
    warnings,
    without,
)

TRAINED = small(training(), Parameters=[{"Name": "Count", "Type": "Integer", "DefaultValue": 1}])
AT = ("Steps", 0, "Arguments")
JOIN = {"Std:Join": {"On": "", "Values": ["a"]}}
UNKNOWN = {"Get": "Steps.Other.TrainingJobName"}


def arguments(*path: str | int, to: Any) -> dict[str, Any]:
    """Make the definition of a Training step with something else in its Arguments."""
    return changed(TRAINED, *AT, *path, to=to)


def pointer(*path: str | int) -> str:
    return "".join(f"/{part}" for part in (*AT, *path))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("RoleArn",), 5, 'must be a text, not 5; write "5"'),
        (("RoleArn",), None, "must be a text, not null"),
        (("RoleArn",), True, 'must be a text, not true; write "true"'),
        (("RoleArn",), [ROLE], "must be a text, not a list"),
        (("HyperParameters",), {"Epochs": 5}, 'must be a text, not 5; write "5"'),
        (("HyperParameters",), {"Rate": 0.5}, 'must be a text, not 0.5; write "0.5"'),
        (("ResourceConfig", "InstanceCount"), "2", 'must be a whole number, not "2"; write 2'),
        (("ResourceConfig", "InstanceCount"), "two", 'must be a whole number, not "two"'),
        (("ResourceConfig", "InstanceCount"), 1.5, "must be a whole number, not 1.5"),
        (("ResourceConfig", "InstanceCount"), True, "must be a whole number, not true"),
        (("EnableNetworkIsolation",), "True", 'must be true or false, not "True"; write true'),
        (("EnableNetworkIsolation",), 1, "must be true or false, not 1"),
        (("ResourceConfig",), [], "must be an object (ResourceConfig), not a list"),
        (("ResourceConfig",), "ml.m5.large", 'must be an object (ResourceConfig), not "ml.m5.large"'),
        (("InputDataConfig",), {"ChannelName": "a"}, "must be a list, not an object"),
        (("HyperParameters",), [], "must be an object, not a list"),
    ],
)
def test_a_value_of_another_type_is_told_with_what_to_write(path: Any, value: Any, message: str) -> None:
    found, said = the_problem(arguments(*path, to=value))
    inner = tuple(value) if isinstance(value, dict) and path == ("HyperParameters",) else ()
    assert (found, said) == (pointer(*path, *inner), message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("RoleArn",), "missing: CreateTrainingJobRequest needs it"),
        (("OutputDataConfig", "S3OutputPath"), "missing: OutputDataConfig needs it"),
        (("AlgorithmSpecification", "TrainingInputMode"), "missing: AlgorithmSpecification needs it"),
    ],
)
def test_what_the_request_needs_must_be_there(path: Any, message: str) -> None:
    assert the_problem(without(TRAINED, *AT, *path)) == (pointer(*path), message)


def test_a_name_that_the_service_gives_need_not_be_there_and_may_be() -> None:
    assert problems(TRAINED) == problems(arguments("TrainingJobName", to="train")) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("AlgorithmSpecification", "TrainingInputMode"), "Files", "did you mean File"),
        (("ResourceConfig", "InstanceType"), "ml.m5.larg", "did you mean ml.m5.large"),
        (("ResourceConfig", "InstanceType"), "m5.large", "no TrainingInstanceType"),
        (("ResourceConfig", "InstanceType"), "ml.m5.10x-large", "no TrainingInstanceType"),
    ],
)
def test_what_is_none_of_the_legal_values_is_told_with_the_nearest(
    path: Any, value: str, message: str
) -> None:
    found, said = the_problem(arguments(*path, to=value))
    assert found == pointer(*path)
    assert message in said


@pytest.mark.parametrize("kind", ["ml.m9.large", "ml.g12e-flex.48xlarge", "ml.trn9.metal"])
def test_an_instance_type_newer_than_the_model_is_a_warning(kind: str) -> None:
    found, said = the_warning(arguments("ResourceConfig", "InstanceType", to=kind))
    assert found == pointer("ResourceConfig", "InstanceType")
    assert f'no TrainingInstanceType that is known here: "{kind}"' in said


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (("Quantum",), "; legal: "),
        (("ResourceConfig", "InstanceFleet"), "; legal: "),
    ],
)
def test_a_member_newer_than_the_model_is_advice(path: Any, hint: str) -> None:
    found, said = the_warning(arguments(*path, to={"any": "thing"}))
    assert found == pointer(*path)
    assert "that is known here" in said
    assert hint in said


@pytest.mark.parametrize(
    ("path", "meant"),
    [(("Hyperparameters",), "HyperParameters"), (("ResourceConfig", "InstanceGroup"), "InstanceGroups")],
)
def test_a_member_with_a_slip_of_the_pen_is_refused_with_the_one_meant(path: Any, meant: str) -> None:
    found, said = the_problem(arguments(*path, to={"any": "thing"}))
    assert found == pointer(*path)
    assert said.endswith(f"did you mean {meant}?")


SCALARS = [
    {"Get": "Parameters.Count"},
    {"Get": "Execution.PipelineExecutionId"},
    {"Get": "Steps.Other.TrainingJobName"},
    JOIN,
    {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Process.PropertyFiles.Scores"}, "Path": "a"}},
    {"Std:JsonGet": {"S3Uri": "s3://bucket/scores.json", "Path": "a"}},
]


def beside(definition: dict[str, Any]) -> dict[str, Any]:
    """Put steps beside to refer to."""
    return definition | {"Steps": [*definition["Steps"], processing("Process"), step("Other")]}


@pytest.mark.parametrize("expression", SCALARS, ids=str)
@pytest.mark.parametrize(
    "path",
    [
        ("TrainingJobName",),
        ("RoleArn",),
        ("ResourceConfig", "InstanceCount"),
        ("ResourceConfig", "InstanceType"),
        ("EnableNetworkIsolation",),
        ("HyperParameters", "k"),
    ],
)
def test_an_expression_may_stand_where_one_value_is_due(path: Any, expression: Any) -> None:
    definition = changed(TRAINED, *AT, "HyperParameters", to={"k": "v"})
    found = problems(beside(changed(definition, *AT, *path, to=expression)))
    # Of a text that is known, it is known whether it fits, and no number is a text.
    texts = [("RoleArn",), ("ResourceConfig", "InstanceType")]
    wrong = {str(JOIN): texts, str(SCALARS[0]): [*texts, ("TrainingJobName",), ("HyperParameters", "k")]}
    assert (found != []) == (path in wrong.get(str(expression), []))


@pytest.mark.parametrize(
    ("path", "due"), [("ResourceConfig", "an object"), ("HyperParameters", "an object"), ("Tags", "a list")]
)
@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ({"Get": "Parameters.Count"}, '"Parameters.Count"'),
        ({"Get": "Execution.PipelineName"}, '"Execution.PipelineName"'),
        (JOIN, "a Std:Join"),
    ],
)
def test_what_is_one_value_stands_for_no_list_and_no_object(
    path: str, due: str, expression: Any, said: str
) -> None:
    found, message = the_problem(arguments(path, to=expression))
    assert found == pointer(path)
    assert message.startswith(f"must be {due}")
    assert message.endswith(f"{said} is one value")


def test_what_a_step_gives_may_stand_for_a_list_or_an_object() -> None:
    for path in ("ResourceConfig", "HyperParameters", "Tags"):
        assert problems(beside(arguments(path, to=UNKNOWN))) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["ml.", "m5", ".large"], ""),
        (["ml.", "m5"], 'no TrainingInstanceType: "ml.-m5"'),
        (["ml.", {"Get": "Execution.PipelineName"}], ""),
        ([], 'no TrainingInstanceType: ""'),
    ],
)
def test_a_joined_text_is_checked_when_all_of_it_is_known(values: list[Any], message: str) -> None:
    between = "-" if message else ""
    joined = {"Std:Join": {"On": between, "Values": values}}
    found = problems(arguments("ResourceConfig", "InstanceType", to=joined))
    assert [said[: len(message)] for _, said in found] == ([message] if message else [])


def test_a_number_where_a_text_is_due_is_refused_with_the_join_to_write() -> None:
    definition = arguments("HyperParameters", to={"count": {"Get": "Parameters.Count"}})
    assert the_problem(definition) == (
        pointer("HyperParameters", "count"),
        'must be a text, and "Parameters.Count" is of type Integer; '
        'write {"Std:Join": {"On": "", "Values": [...]}}',
    )


@pytest.mark.parametrize(("kind", "count"), [("Integer", 0), ("Float", 0), ("Boolean", 1), ("String", 1)])
def test_a_whole_number_will_do_where_a_number_is_due(kind: str, count: int) -> None:
    variant = {"VariantName": "all", "InitialVariantWeight": {"Get": "Parameters.Share"}}
    config = {"EndpointConfigName": "config", "ProductionVariants": [variant]}
    endpoint = {"Name": "E", "Type": "EndpointConfig", "Arguments": config}
    definition = small(endpoint, Parameters=[{"Name": "Share", "Type": kind}])
    assert problems(definition) == []
    assert len(warnings(definition)) == count


def used(*names: str) -> dict[str, Any]:
    """Make a definition of Training steps whose instance type is a parameter, "large" unless given."""
    declared = [{"Name": "Kind", "Type": "String", "DefaultValue": "large"}]
    use = {"Get": "Parameters.Kind"}
    steps = [changed(small(training(name)), *AT, "ResourceConfig", "InstanceType", to=use) for name in names]
    return small(*(each["Steps"][0] for each in steps), Parameters=declared)


def test_a_value_that_does_not_fit_is_told_at_each_use() -> None:
    found = problems(used("S", "T"))
    assert [place for place, _ in found] == [
        f"/Steps/{index}/Arguments/ResourceConfig/InstanceType" for index in (0, 1)
    ]
    assert 'the value of Kind does not fit here: no TrainingInstanceType: "large"' in found[0][1]


@pytest.mark.parametrize(
    ("value", "count"), [("ml.m5.large", 0), ("small", 1), ("ml.m9.large", 1), (None, 0), (7, 0)]
)
def test_a_value_that_is_given_stands_for_the_default(value: Any, count: int) -> None:
    found = check(used("T"), bundled_model(), {"Kind": value})
    assert len(found) == count
    assert [each.place for each in found] == [Place.ADVICE if value == "ml.m9.large" else Place.RUN] * count


def test_a_default_alone_is_no_fault_since_an_execution_may_have_another_value() -> None:
    assert check(used("T"), bundled_model()) == []


def test_a_number_that_is_given_is_within_the_limits_of_its_place() -> None:
    definition = arguments("ResourceConfig", "InstanceCount", to={"Get": "Parameters.Count"})
    assert [str(each) for each in check(definition, bundled_model(), {"Count": -1})] == [
        f"{pointer('ResourceConfig', 'InstanceCount')}: the value of Count does not fit here: "
        "-1; must be at least 0"
    ]


@pytest.mark.parametrize(
    ("kind", "place", "rest"),
    [
        ("Model", ("PrimaryContainer",), {"ExecutionRoleArn": "arn:aws:iam::111122223333:role/jobs"}),
        ("Model", ("Containers", 0), {"ExecutionRoleArn": "arn:aws:iam::111122223333:role/jobs"}),
        ("RegisterModel", ("InferenceSpecification", "Containers", 0), {}),
    ],
)
def test_an_argument_that_create_pipeline_was_seen_to_refuse_is_doubted(
    kind: str, place: tuple[str | int, ...], rest: dict[str, Any]
) -> None:
    source = {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container: Any = {"AdditionalModelDataSources": [{"ChannelName": "more", "S3DataSource": source}]}
    if kind == "RegisterModel":
        container["Image"] = "scores:1"
    for part in reversed(place):
        container = [container] if part == 0 else {part: container}
    definition = small({"Name": "M", "Type": kind, "Arguments": container | rest})
    at, said = the_warning(definition)
    assert at == pointer(*place, "AdditionalModelDataSources")
    assert said == ("CreatePipeline was seen to refuse this argument (aws/sagemaker-python-sdk issue 4994)")


def test_of_a_union_exactly_one_member_must_stand() -> None:
    config: dict[str, Any] = {"TabularJobConfig": {"TargetAttributeName": "a"}}
    channel = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data"}}}
    job = {
        "AutoMLJobInputDataConfig": [channel],
        "AutoMLProblemTypeConfig": config,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "RoleArn": ROLE,
    }
    automl = small({"Name": "A", "Type": "AutoML", "Arguments": job})
    assert problems(automl) == []
    both = changed(automl, *AT, "AutoMLProblemTypeConfig", "ImageClassificationJobConfig", to={})
    found, said = the_problem(both)
    assert found == pointer("AutoMLProblemTypeConfig")
    assert said.startswith("must have exactly one of ImageClassificationJobConfig, ")


def test_lineage_entities_are_requests_each() -> None:
    entities = {"Artifacts": [{"ArtifactName": "a", "ArtifactType": "t"}], "Actions": [{"ActionName": 1}]}
    lineage = small({"Name": "L", "Type": "Lineage", "Arguments": entities})
    found = dict(problems(lineage))
    assert found[pointer("Artifacts", 0, "Source")] == "missing: CreateArtifactRequest needs it"
    assert found[pointer("Actions", 0, "ActionName")] == 'must be a text, not 1; write "1"'


def test_of_a_request_that_the_model_lacks_nothing_but_that_is_said() -> None:
    description = dict(create_loader().load_service_model("sagemaker", "service-2"))
    description["operations"] = {
        name: each for name, each in description["operations"].items() if name != "CreateTrainingJob"
    }
    older = ServiceModel(description, "sagemaker")
    found = check(arguments("RoleArn", to=5), older)
    assert [(each.place, str(each)) for each in found] == [
        (Place.ADVICE, "/Steps/0/Arguments: CreateTrainingJob is not known here: unchecked")
    ]


def test_independent_faults_are_told_together() -> None:
    wrong = changed(TRAINED, *AT, "RoleArn", to=5)
    wrong = changed(wrong, *AT, "ResourceConfig", "InstanceCount", to="2")
    wrong = changed(wrong, *AT, "AlgorithmSpecification", "TrainingInputMode", to="Fil")
    wrong = without(wrong, *AT, "OutputDataConfig")
    wrong = changed(wrong, "Steps", 0, "DependsOn", to=["Nobody"])
    wrong = changed(wrong, "Parameters", 0, "DefaultValue", to="many")
    assert sorted(found for found, _ in problems(wrong)) == [
        "/Parameters/0/DefaultValue",
        pointer("AlgorithmSpecification", "TrainingInputMode"),
        pointer("OutputDataConfig"),
        pointer("ResourceConfig", "InstanceCount"),
        pointer("RoleArn"),
        "/Steps/0/DependsOn/0",
    ]
