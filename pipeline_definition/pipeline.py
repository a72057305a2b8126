"""The pipeline: its steps in order, and the text of pipeline.json.

Written with the SageMaker SDK, wholly offline; `python -m pipeline_definition` is the command.
"""

import json
from typing import Any

# The offline settings come first: the SDK looks for AWS while it is imported.
from pipeline_definition.session import offline_session  # isort: split

from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline

from pipeline_definition import jobs, steps
from pipeline_definition.parameters import Parameter, parameters

# A reader looks for the name first; all other keys are sorted, whatever order the SDK has them in.
KEYS_FIRST = ("Version", "Metadata", "Name", "Type", "DisplayName", "Description", "DependsOn")


def build(*, pretrained_channel: bool = False, subnets: int = 0, security_groups: int = 0) -> Any:
    """Make the pipeline as an object of the SDK (takes tens of seconds, opens no connection)."""
    listed = parameters(
        pretrained_channel=pretrained_channel, subnets=subnets, security_groups=security_groups
    )
    declared = {each.name: _declare(each) for each in listed}
    context = jobs.StepContext(offline_session(), declared)
    training_types = (jobs.SPOT, jobs.ON_DEMAND)
    preprocess = steps.preprocess(context)
    data = preprocess.properties.ProcessingOutputConfig.Outputs
    trainings = [steps.train(context, each, data) for each in training_types]
    evaluations = [
        steps.evaluate(context, each, data, training)
        for each, training in zip(training_types, trainings, strict=True)
    ]
    registrations = [
        steps.register(context, *parts) for parts in zip(training_types, trainings, evaluations, strict=True)
    ]
    checks = [
        steps.check_accuracy(context, *parts) for parts in zip(training_types, registrations, strict=True)
    ]
    last = steps.check_any_accuracy(context, training_types)
    return Pipeline(
        name="pipeline",  # the Lambda names it after the upload's key
        parameters=list(declared.values()),
        steps=[steps.check_parameters(context, preprocess), *trainings, *evaluations, *checks, last],
        pipeline_experiment_config=None,  # by default there is one in some regions and none in others
        sagemaker_session=context.session,
    )


def render(*, pretrained_channel: bool = False, subnets: int = 0, security_groups: int = 0) -> str:
    """Write the definition as the committed file holds it: ordered, indented, with a newline at the end."""
    pipeline = build(pretrained_channel=pretrained_channel, subnets=subnets, security_groups=security_groups)
    definition = json.loads(pipeline.definition())
    return json.dumps(_tidy(definition), indent=2) + "\n"


def _declare(parameter: Parameter) -> Any:
    if parameter.type == "String":
        return ParameterString(parameter.name, parameter.default, enum_values=list(parameter.enum) or None)
    kind = {"Integer": ParameterInteger, "Float": ParameterFloat}[parameter.type]
    return kind(parameter.name, parameter.default)


def _tidy(value: Any) -> Any:
    """Order the keys, and leave out what the SDK writes without saying anything: null and {}."""
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _tidy(each) for key, each in value.items() if each not in (None, {})}
    return dict(sorted(kept.items(), key=lambda item: (_rank(item[0]), item[0])))


def _rank(key: str) -> int:
    return KEYS_FIRST.index(key) if key in KEYS_FIRST else len(KEYS_FIRST)
