"""The steps of the pipeline, each a function that makes one step of the SageMaker SDK."""

from collections.abc import Mapping, Sequence
from typing import Any

# The offline settings come first: the SDK looks for AWS while it is imported.
import pipeline_definition.session as offline  # isort: split

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.workflow.conditions import (
    ConditionGreaterThan,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThan,
    ConditionLessThanOrEqualTo,
    ConditionNot,
    ConditionOr,
)
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve import ModelBuilder

from pipeline_definition import jobs
from pipeline_definition.jobs import StepContext, TrainingType
from pipeline_definition.parameters import legal_values

ACCURACY = "multiclass_classification_metrics.accuracy.value"
EVALUATION_FILE, CARD_FILE = "evaluation.json", "model-card.json"
LINEAGE = {
    "Backbone": "backbone",
    "PretrainedSha256": "pretrained_sha256",
    "PretrainedLicence": "pretrained_licence",
    "WeightsSha256": "weights_sha256",
    "DataDigest": "data_digest",
    "TrainingCodeSha256": "training_code_sha256",
}
"""What a package's properties are called that the evaluation tells: its members below `lineage`, all texts of
at most 256 characters, which is what SageMaker takes as a property. The image is the package's own.
"""
CONTENT_TYPES = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "application/x-image",
    "application/octet-stream",
    "application/json",
]
"""What serving takes; a package cannot say image/*."""
CACHE = CacheConfig(enable_caching=True, expire_after="P30D")
SERVICE_RETRY = StepRetryPolicy(
    [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
    interval_seconds=10,
    max_attempts=5,
)
CAPACITY_RETRY = SageMakerJobStepRetryPolicy(
    exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
    failure_reason_types=[
        SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
        SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
    ],
    interval_seconds=60,
    max_attempts=5,
)
JOB_RETRIES = [SERVICE_RETRY, CAPACITY_RETRY]
BOUNDS = {
    "minimum": ConditionGreaterThanOrEqualTo,
    "exclusiveMinimum": ConditionGreaterThan,
    "maximum": ConditionLessThanOrEqualTo,
    "exclusiveMaximum": ConditionLessThan,
}
"""What a bound in legal_values.json demands of a parameter."""


def check_parameters(context: StepContext, preprocess: Any) -> Any:
    """Make the condition step that lets the first job start if every number is a legal one.

    The first job stands in the branch: a step that waited for the condition would start beside the Fail
    step. As arguments of a job the numbers would be in the key of its step cache.
    """
    numbers = {
        # What may be a word as well is a String, which has no bounds: training itself looks at it.
        name: legal
        for name, legal in legal_values().items()
        if not {"enum", "also"} & legal.keys()
    }
    conditions = [
        condition(left=context.parameters[name], right=_bound(legal, bound))
        for name, legal in numbers.items()
        for bound, condition in BOUNDS.items()
        if bound in legal
    ]
    return ConditionStep(
        "CheckParameters",
        display_name="CheckParameters",
        description="Starts no job if a parameter is outside of its range.",
        conditions=conditions,
        if_steps=[preprocess],
        else_steps=[_parameter_out_of_range(context, numbers)],
    )


def _bound(legal: Mapping[str, Any], bound: str) -> float:
    return int(legal[bound]) if legal["type"] == "integer" else float(legal[bound])


def _range(legal: Mapping[str, Any]) -> str:
    """Say the bounds shortly, for SageMaker shows 1,024 characters of a failure."""
    low, high = (legal.get(bound, legal.get(f"exclusive{bound.title()}")) for bound in ("minimum", "maximum"))
    above = "above " if "exclusiveMinimum" in legal else ""
    below = "below " if "exclusiveMaximum" in legal else ""
    return f"{above}{low:.12g} to {below}{high:.12g}"


def _parameter_out_of_range(context: StepContext, numbers: Mapping[str, Mapping[str, Any]]) -> Any:
    message: list[Any] = ["No job was started: a parameter is out of its range."]
    for name, legal in numbers.items():
        message += [f" {name} ", context.parameters[name], f" ({_range(legal)})"]
    return FailStep(
        "ParameterOutOfRange",
        Join("", message),
        display_name="ParameterOutOfRange",
        description="Says what every parameter with a range is and must be.",
    )


def preprocess(context: StepContext) -> Any:
    """Make the step that turns the images into train, validation and test shards and a manifest."""
    parameters = context.parameters
    processor = jobs.processor(context, "preprocess", "Shared", parameters["ProcessingInstanceCount"])
    arguments = [
        *("--class-selection", parameters["ClassSelection"]),
        *("--annotation-file-name", parameters["AnnotationFileName"]),
        *("--image-size", parameters["ImageSize"].to_string()),
        *("--seed", parameters["Seed"].to_string()),
        # The step cache looks at arguments, and not at the objects behind InputDataUrl.
        *("--data-digest", parameters["InputDataDigest"]),
    ]
    outputs = [
        jobs.processing_output(name, context.output("preprocess", name))
        for name in ("train", "validation", "test", "manifest")
    ]
    inputs = [jobs.processing_input("data", parameters["InputDataUrl"])]
    return ProcessingStep(
        "Preprocess",
        processor.run(arguments=arguments, inputs=inputs, outputs=outputs),
        display_name="Preprocess",
        description="Selects the classes, splits and resizes the images, and writes them as shards.",
        cache_config=CACHE,
        retry_policies=JOB_RETRIES,
    )


def train(context: StepContext, training_type: TrainingType, data: Any) -> Any:
    """Make a training step; `data` are the outputs of Preprocess by name."""
    channels = [jobs.channel(name, data[name].S3Output.S3Uri) for name in ("train", "validation")]
    if "PretrainedUrl" in context.parameters:
        channels.append(jobs.channel("pretrained", context.parameters["PretrainedUrl"]))
    return TrainingStep(
        f"Train{training_type.name}",
        jobs.trainer(context, training_type).train(input_data_config=channels),
        display_name=f"Train{training_type.name}",
        description=f"Trains the model on {training_type.description}.",
        cache_config=CACHE,
        retry_policies=JOB_RETRIES,
    )


def evaluate(context: StepContext, training_type: TrainingType, data: Any, training: Any) -> Any:
    """Make the step that measures a trained model on the test images, which no training saw."""
    processor = jobs.processor(context, "evaluate", training_type.name, 1)
    inputs = [
        jobs.processing_input("model", training.properties.ModelArtifacts.S3ModelArtifacts),
        jobs.processing_input("test", data["test"].S3Output.S3Uri),
        jobs.processing_input("manifest", data["manifest"].S3Output.S3Uri),
    ]
    outputs = [jobs.processing_output("evaluation", context.output("evaluation", training_type.prefix))]
    arguments = ["--training-type", training_type.name]
    return ProcessingStep(
        f"Evaluate{training_type.name}",
        processor.run(arguments=arguments, inputs=inputs, outputs=outputs),
        display_name=f"Evaluate{training_type.name}",
        description=f"Measures the model of Train{training_type.name} on the test images.",
        property_files=[_evaluation(training_type)],
        cache_config=CACHE,
        retry_policies=JOB_RETRIES,
    )


def register(context: StepContext, training_type: TrainingType, training: Any, evaluation: Any) -> Any:
    """Make the step that puts a model package with its metrics into the model package group."""
    report = evaluation.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri
    statistics = MetricsSource(content_type="application/json", s3_uri=Join("/", [report, EVALUATION_FILE]))
    builder = ModelBuilder(
        image_uri=context.parameters["TrainingImageUri"],
        s3_model_data_url=training.properties.ModelArtifacts.S3ModelArtifacts,
        role_arn=offline.PLACEHOLDER_ROLE,
        sagemaker_session=context.session,
        dependencies={},  # its default asks the SDK to pack code, which would go to S3
    )
    arguments = builder.register(
        model_package_group_name=context.parameters["ModelPackageGroupName"],
        approval_status=context.parameters["ModelApprovalStatus"],
        description=f"Trained on {training_type.description}.",
        content_types=CONTENT_TYPES,
        response_types=["application/json"],
        inference_instances=["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"],
        transform_instances=["ml.m5.xlarge", "ml.c5.xlarge"],
        customer_metadata_properties={
            "TrainingType": training_type.name,
            "PipelineExecutionArn": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            "ModelCard": Join("/", [report, CARD_FILE]),
            **{name: _measured(training_type, f"lineage.{member}") for name, member in LINEAGE.items()},
        },
        model_metrics=ModelMetrics(model_statistics=statistics),
    )
    return ModelStep(
        f"Register{training_type.name}",
        arguments,
        display_name=f"Register{training_type.name}",
        description=f"Registers the model of Train{training_type.name} for approval.",
        retry_policies=[SERVICE_RETRY],
    )


def check_accuracy(context: StepContext, training_type: TrainingType, registration: Any) -> Any:
    """Make the condition step that lets a model be registered from AccuracyThreshold on."""
    name = f"Check{training_type.name}Accuracy"
    return ConditionStep(
        name,
        display_name=name,
        description=f"Goes on to Register{training_type.name} if the accuracy reaches AccuracyThreshold.",
        conditions=[_accurate(context, training_type)],
        if_steps=[registration],
        else_steps=[],
    )


def check_any_accuracy(context: StepContext, training_types: Sequence[TrainingType]) -> Any:
    """Make the condition step that fails the execution when no model is accurate enough.

    It looks at all of them: a Fail step in one branch would end the execution for the other as well.
    """
    reached = [_accurate(context, each) for each in training_types]
    return ConditionStep(
        "CheckAnyAccuracy",
        display_name="CheckAnyAccuracy",
        description="Ends the execution as Failed if no model reaches AccuracyThreshold.",
        conditions=[ConditionNot(ConditionOr(reached))],
        if_steps=[_accuracy_too_low(context)],
        else_steps=[],
    )


def _accuracy_too_low(context: StepContext) -> Any:
    message = [
        "No model was registered: neither TrainSpot nor TrainOnDemand reached the AccuracyThreshold of ",
        context.parameters["AccuracyThreshold"],
        ". The evaluation.json of EvaluateSpot and EvaluateOnDemand say what they reached.",
    ]
    return FailStep(
        "AccuracyTooLow",
        Join("", message),
        display_name="AccuracyTooLow",
        description="Says which threshold no model reached.",
    )


def _evaluation(training_type: TrainingType) -> Any:
    return PropertyFile(f"Evaluation{training_type.name}", output_name="evaluation", path=EVALUATION_FILE)


def _measured(training_type: TrainingType, path: str) -> Any:
    """Take a value of a training type's evaluation.json while the execution runs."""
    return JsonGet(
        step_name=f"Evaluate{training_type.name}", property_file=_evaluation(training_type), json_path=path
    )


def _accurate(context: StepContext, training_type: TrainingType) -> Any:
    accuracy = _measured(training_type, ACCURACY)
    return ConditionGreaterThanOrEqualTo(left=accuracy, right=context.parameters["AccuracyThreshold"])
