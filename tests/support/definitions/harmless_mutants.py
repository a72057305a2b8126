"""Which mutants of the shipped definition the policy lets pass, and why that does no harm.

Some are valid and gain nothing; others are invalid, which is SageMaker's to say: nothing runs, or no job.

A place is a JSON pointer in which what is in a list has its name (`/Steps/TrainSpot/Arguments`), or a
pattern: `*` is within one member, `**` any members, `{a,b}` either.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from pipeline_definition.parameters import hyper_parameters

TEXT = ("longer", "emptied", "foreign role", "a parameter", "a variable")
"""Texts in which no location is."""
CONSTANT = ("longer", "emptied", "foreign role")
CHANGED = ("longer", "foreign role")
LOCATION = ("foreign bucket", "definitions' prefix")
ANYTHING = (
    *("foreign role", "foreign bucket", "definitions' prefix"),
    *("a thousand", "nowhere", "a parameter", "a variable"),
)
LIMITED = ("zero", "negative", "one more", "a hundred times", "a thousand")
ORDER = ("reversed", "its first entry twice")
FEWER = ("removed", "emptied")


class Harmless(NamedTuple):
    """Mutants that may start: a pattern of places, and why whoever uploads them has gained nothing."""

    place: str
    kinds: tuple[str, ...]
    reason: str


FOR_PEOPLE = "a text for people"
OWN_CODE = (
    "our own code reads it, and refuses what it does not know; no place in S3 and no command can be in it"
)
FOLDER = "another folder of the same execution, in which no other output lies"
ADVICE = "advice to whoever deploys the model: nothing starts by it"
MESSAGE = "decides about the failure's message alone: nothing is registered there"
DECIDES = "decides whether a model is registered, and a person whether it is approved"
# What is invalid: whose matter that is, and what happens then.
UNREAD = "CreatePipeline refuses what it cannot read, and what refers to nothing"
NO_CONDITION = (
    "a condition that SageMaker refuses, or that decides whether a model is registered: a person approves"
)
REFUSED = "SageMaker refuses the request for the job, so nothing runs"
NUMBER = "SageMaker refuses a number where a text must be, and to others it says no more than a text"
WORDS = ",".join(each.name for each in hyper_parameters() if each.type == "String")
ENUMS = ",".join(each.name for each in hyper_parameters() if each.enum)
NUMBERS = ",".join(each.name for each in hyper_parameters() if each.type != "String")
HARMLESS = [
    Harmless("/Steps/**/{Description,DisplayName}", (*CONSTANT, *LOCATION, "removed"), FOR_PEOPLE),
    Harmless("/Steps/**/ErrorMessage", (*TEXT[2:], *LOCATION), FOR_PEOPLE),
    Harmless("/Steps/**/ErrorMessage/Std:Join/On", (*CHANGED, *LOCATION), FOR_PEOPLE),
    Harmless("/Steps/**/ErrorMessage/Std:Join/Values", ("emptied", "an entry more", *ORDER), FOR_PEOPLE),
    Harmless(
        "/Steps/**/ErrorMessage/Std:Join/Values/*", (*TEXT, *LOCATION, "a thousand", "removed"), FOR_PEOPLE
    ),
    Harmless("/Steps/Check*/Name", ("longer",), "nothing refers to the name of a Condition step"),
    Harmless(
        "/Steps/Check*/Arguments/{If,Else}Steps/*/Name",
        ("longer",),
        "nothing refers to the name of a last step",
    ),
    Harmless("/Steps/**/ErrorMessage", ("nowhere", "a thousand", "removed"), f"{FOR_PEOPLE}; {UNREAD}"),
    Harmless("/Steps/**/ErrorMessage/Std:Join/Values/*", ("nowhere",), f"{FOR_PEOPLE}; {UNREAD}"),
    Harmless(
        "/Steps/**/{AccuracyTooLow,ParameterOutOfRange}/Arguments", ("emptied",), f"{FOR_PEOPLE}; {UNREAD}"
    ),
    # Parameters: whatever they say is judged where it is used.
    Harmless("/Parameters", ("reversed",), "their order means nothing"),
    Harmless(
        f"/Parameters/{{AnnotationFileName,ClassSelection,InputDataDigest,{WORDS}}}/DefaultValue",
        (*CONSTANT, "instance type"),
        OWN_CODE,
    ),
    Harmless(
        f"/Parameters/{{{NUMBERS}}}/DefaultValue",
        LIMITED,
        OWN_CODE,
    ),
    Harmless("/Parameters/AccuracyThreshold/DefaultValue", LIMITED, DECIDES),
    Harmless(
        f"/Parameters/{{ProcessingInstanceCount,TrainingInstanceCount,AccuracyThreshold,{NUMBERS}}}/DefaultValue",
        ("another type",),
        "the text of a number, which is judged as the number, as StartPipelineExecution gets it",
    ),
    Harmless("/Parameters/ProcessingInstanceCount/DefaultValue", ("one more",), "within the limits"),
    Harmless(
        "/Parameters/OutputKmsKeyId/DefaultValue",
        (*CHANGED, *LOCATION, "instance type", "removed"),
        "the deployment gives its own",
    ),
    Harmless(
        f"/Parameters/{{ModelApprovalStatus,{ENUMS}}}/EnumValues",
        ("null", "another type", "an entry more", "emptied", "removed", *ORDER),
        "the value itself is judged, whatever the definition would allow",
    ),
    Harmless(
        f"/Parameters/{{ModelApprovalStatus,{ENUMS}}}/EnumValues/*",
        ("null", "another type", "longer", "emptied", *ANYTHING, "removed"),
        "the value itself is judged, whatever the definition would allow",
    ),
    # What our own code is told.
    Harmless(
        "/Steps/**/Arguments/AppSpecification/ContainerArguments",
        ("an entry more", *FEWER, *ORDER),
        OWN_CODE,
    ),
    Harmless("/Steps/**/Arguments/AppSpecification/ContainerArguments/*", (*TEXT, "removed"), OWN_CODE),
    Harmless(
        "/Steps/**/Arguments/{AppSpecification/ContainerArguments,HyperParameters}/*", ("a thousand",), NUMBER
    ),
    Harmless("/Steps/**/Arguments/HyperParameters", ("a member more", *FEWER), OWN_CODE),
    Harmless("/Steps/**/Arguments/HyperParameters/*", (*TEXT[2:], "removed"), OWN_CODE),
    Harmless(
        "/Steps/**/Arguments/**/{HyperParameters,ContainerArguments}/*/Std:Join/Values",
        ("an entry more", "emptied", "its first entry twice"),
        OWN_CODE,
    ),
    Harmless(
        "/Steps/**/Arguments/**/{HyperParameters,ContainerArguments}/*/Std:Join/Values/*",
        (*TEXT[2:], "a thousand", "removed"),
        OWN_CODE,
    ),
    Harmless(
        "/Steps/**/Arguments/**/{HyperParameters,ContainerArguments}/*/Std:Join/On",
        (*CHANGED, *LOCATION),
        "it stands between several values, and there is one",
    ),
    Harmless(
        "/Steps/**/Arguments/AlgorithmSpecification/MetricDefinitions",
        (*FEWER, *ORDER),
        "says what CloudWatch finds in the job's own log",
    ),
    Harmless(
        "/Steps/**/Arguments/AlgorithmSpecification/MetricDefinitions/*",
        ("removed",),
        "says what CloudWatch finds in the job's own log",
    ),
    Harmless(
        "/Steps/**/Arguments/AlgorithmSpecification/MetricDefinitions/*/{Name,Regex}",
        (*TEXT, "a thousand"),
        "says what CloudWatch finds in the job's own log, in SageMaker's own namespace",
    ),
    # What does less, or the same.
    Harmless("/Steps", ("reversed",), "references give the order, not the list"),
    Harmless("/Steps", ("emptied",), "nothing runs"),
    Harmless("/Steps/Check*", ("removed",), "less is registered, or no failure is told"),
    Harmless("/Steps/Check*/Arguments/IfSteps", FEWER, "less is registered, or no failure is told"),
    Harmless("/Steps/Check*/Arguments/IfSteps/*", ("removed",), "less is registered, or no failure is told"),
    Harmless("/Steps/Check*/Arguments/ElseSteps", FEWER, "there was none, or no failure is told"),
    Harmless("/Steps/Check*/Arguments/ElseSteps/*", ("removed",), "no failure is told"),
    Harmless("/Steps/**/RetryPolicies", (*FEWER, "reversed"), "fewer retries, or the same"),
    Harmless(
        "/Steps/**/RetryPolicies", ("its first entry twice",), "no more retries than the cost allows for"
    ),
    Harmless("/Steps/**/RetryPolicies/*", ("removed",), "fewer retries"),
    Harmless("/Steps/**/RetryPolicies/*/ExceptionType", ORDER, "the same exceptions"),
    Harmless("/Steps/**/RetryPolicies/*/ExceptionType", FEWER, "no more retries than the cost allows for"),
    Harmless("/Steps/**/RetryPolicies/*/ExceptionType/*", ("removed",), "retried for less"),
    Harmless("/Steps/**/RetryPolicies/*/MaxAttempts", ("zero",), "fewer retries"),
    Harmless(
        "/Steps/**/RetryPolicies/*/BackoffRate", ("zero", "one more", "removed"), "waiting bills nothing"
    ),
    Harmless(
        "/Steps/**/RetryPolicies/*/IntervalSeconds",
        ("zero", "one more", "a thousand", "removed"),
        "an hour at most, and waiting bills nothing",
    ),
    Harmless(
        "/Steps/**/RetryPolicies/0/IntervalSeconds",
        ("a hundred times",),
        "1,000 s, and waiting bills nothing",
    ),
    Harmless("/Steps/**/CacheConfig", ("removed",), "every step runs, within the cost"),
    Harmless("/Steps/**/CacheConfig/Enabled", ("turned",), "every step runs, within the cost"),
    Harmless(
        "/Steps/Evaluate*/Arguments/ProcessingResources/ClusterConfig/InstanceCount",
        ("one more",),
        "within the limits",
    ),
    Harmless(
        "/Steps/**/Arguments/ProcessingResources/ClusterConfig/VolumeSizeInGB",
        ("one more",),
        "within the limits",
    ),
    Harmless(
        "/Steps/Train*/Arguments/ResourceConfig/{InstanceCount,VolumeSizeInGB}",
        ("one more",),
        "within the limits",
    ),
    Harmless(
        "/Steps/**/Arguments/StoppingCondition/MaxRuntimeInSeconds",
        ("one more", "a thousand"),
        "within the limits",
    ),
    Harmless(
        "/Steps/TrainSpot/Arguments/StoppingCondition/MaxWaitTimeInSeconds",
        ("one more",),
        "within the limits",
    ),
    Harmless("/Steps/TrainSpot/**/MaxWaitTimeInSeconds", ("a thousand", "removed"), REFUSED),
    Harmless(
        "/Steps/Train*/Arguments/EnableManagedSpotTraining",
        ("turned", "removed"),
        f"{REFUSED}; else it costs no more than counted",
    ),
    Harmless(
        "/Steps/TrainSpot/Arguments/CheckpointConfig", ("removed",), "an interrupted training begins again"
    ),
    Harmless("/Steps/Train*/Arguments/**/TrainingInputMode", ("removed",), REFUSED),
    Harmless("/Steps/**/S3UploadMode", ("removed",), REFUSED),
    Harmless("/Steps/**/Arguments/Tags", FEWER, "the bill tells training types apart no more"),
    Harmless("/Steps/**/Arguments/Tags", ("reversed",), "tags have no order"),
    Harmless("/Steps/**/Arguments/Tags/*", ("removed",), "the bill tells training types apart no more"),
    Harmless("/Steps/**/Arguments/Tags/*/Value", TEXT, "no right hangs on a tag of a job"),
    Harmless("/Steps/**/Arguments/Tags/*/Value", ("a thousand",), NUMBER),
    Harmless("/Steps/**/Arguments/Tags/*/Value/Get", ("longer",), UNREAD),
    # What has the same value unless it is written, or stands anywhere in its list.
    Harmless(
        "/Steps/**/Arguments/**/VolumeKmsKeyId",
        ("removed", "null"),
        "empty unless written, where volumes have no key",
    ),
    Harmless("/Steps/Train*/Arguments/InputDataConfig", ("reversed",), "channels have names"),
    Harmless("/Steps/Train*/Arguments/InputDataConfig/validation", ("removed",), "training fails without it"),
    Harmless(
        "/Steps/Train*/Arguments/InputDataConfig/*/DataSource/S3DataSource/S3DataDistributionType",
        ("removed",),
        "FullyReplicated unless written",
    ),
    Harmless("/Steps/Train*/Arguments/InputDataConfig/*/InputMode", ("removed",), "TrainingInputMode counts"),
    Harmless("/Steps/Train*/Arguments/OutputDataConfig/CompressionType", ("removed",), "GZIP unless written"),
    Harmless("/Steps/Evaluate*/Arguments/ProcessingInputs", ("reversed",), "inputs have names"),
    Harmless("/Steps/**/Preprocess/Arguments/ProcessingInputs", FEWER, "Preprocess fails without data"),
    Harmless(
        "/Steps/**/Preprocess/Arguments/ProcessingInputs/data", ("removed",), "Preprocess fails without data"
    ),
    Harmless(
        "/Steps/**/Arguments/ProcessingInputs/*/S3Input/{S3CompressionType,S3DataDistributionType,S3InputMode}",
        ("removed",),
        "the value that may be written is the one that counts unless it is",
    ),
    Harmless(
        "/Steps/**/Preprocess/Arguments/ProcessingOutputConfig/Outputs", ("reversed",), "outputs have names"
    ),
    Harmless("/Steps/**/SkipModelValidation", ("removed",), "None unless written"),
    # Other places of one's own.
    Harmless("/Steps/**/S3Output/S3Uri/Std:Join/Values", ("an entry more",), FOLDER),
    Harmless("/Steps/**/S3Output/S3Uri/Std:Join/Values/{4,5}", ("longer", *TEXT[2:], "a thousand"), FOLDER),
    Harmless("/Steps/**/S3Output/S3Uri/Std:Join/Values/4", ("removed",), FOLDER),
    Harmless("/Steps/**/S3OutputPath/Std:Join/Values", ("an entry more",), FOLDER),
    Harmless("/Steps/**/S3OutputPath/Std:Join/Values/{4,5}", ("longer", *TEXT[2:], "a thousand"), FOLDER),
    Harmless("/Steps/**/S3OutputPath/Std:Join/Values/4", ("removed",), FOLDER),
    Harmless(
        "/Steps/TrainSpot/Arguments/CheckpointConfig/S3Uri/Std:Join/Values",
        ("an entry more",),
        "another folder of this pipeline's checkpoints, each of which carries what it belongs to",
    ),
    Harmless(
        "/Steps/TrainSpot/Arguments/CheckpointConfig/S3Uri/Std:Join/Values/4",
        (*TEXT, "a thousand"),
        "another folder of this pipeline's checkpoints, each of which carries what it belongs to",
    ),
    # What a model package says of itself, beside the numbers of its evaluation.
    Harmless("/Steps/**/CustomerMetadataProperties", ("a member more", *FEWER), FOR_PEOPLE),
    Harmless("/Steps/**/CustomerMetadataProperties/*", (*TEXT, "removed"), FOR_PEOPLE),
    Harmless("/Steps/**/ModelPackageDescription", (*TEXT, "removed"), FOR_PEOPLE),
    Harmless("/Steps/**/CustomerMetadataProperties/*/Get", ("longer",), FOR_PEOPLE),
    Harmless("/Steps/**/CustomerMetadataProperties/*/Std:Join/Values", ("emptied",), FOR_PEOPLE),
    Harmless(
        "/Steps/**/CustomerMetadataProperties/*/Std:Join/Values/0",
        ("a variable", "a parameter", "a thousand", "foreign role", "removed"),
        FOR_PEOPLE,
    ),
    Harmless("/Steps/**/{CustomerMetadataProperties/*,ModelPackageDescription}", ("a thousand",), NUMBER),
    Harmless("/Steps/**/Statistics/ContentType", (*TEXT, "removed"), "the numbers are where they were"),
    Harmless("/Steps/**/Statistics/ContentType", ("a thousand",), NUMBER),
    Harmless(
        "/Steps/**/Supported{ContentTypes,ResponseMIMETypes}",
        ("an entry more", *FEWER, *ORDER),
        ADVICE,
    ),
    Harmless("/Steps/**/Supported{ContentTypes,ResponseMIMETypes}/*", (*TEXT, "removed"), ADVICE),
    Harmless("/Steps/**/Supported*InstanceTypes", ("an entry more", *FEWER, *ORDER), ADVICE),
    Harmless("/Steps/**/Supported*InstanceTypes/*", (*TEXT, "instance type", "removed"), ADVICE),
    Harmless("/Steps/**/Supported*/*", ("a thousand",), NUMBER),
    # What decides whether a model is registered proves nothing.
    Harmless("/Steps/Check*/Arguments/Conditions", ORDER, "the same conditions"),
    Harmless(
        "/Steps/CheckParameters/Arguments/Conditions/*/RightValue", ("another type", *LIMITED), OWN_CODE
    ),
    Harmless("/Steps/Check*/Arguments/Conditions", ("emptied",), NO_CONDITION),
    Harmless("/Steps/Check*/Arguments/Conditions/*", ("removed",), NO_CONDITION),
    Harmless("/Steps/Check*/**/{LeftValue,RightValue}", ANYTHING, NO_CONDITION),
    Harmless("/Steps/Check*/**/Std:JsonGet/Path", (*CONSTANT, *LOCATION), NO_CONDITION),
    Harmless("/Steps/Check*/**/Std:JsonGet/PropertyFile", ("nowhere", "another reference"), NO_CONDITION),
    Harmless("/Steps/Check*/**/Std:JsonGet/PropertyFile/Get", ("longer",), NO_CONDITION),
    Harmless("/Steps/CheckAnyAccuracy/**/Condition/Conditions", ("emptied", *ORDER), MESSAGE),
    Harmless("/Steps/CheckAnyAccuracy/**/Condition/Conditions/*", ("removed",), MESSAGE),
]


@functools.cache
def pattern(text: str) -> re.Pattern[str]:
    """Read a pattern of places: * is within one member, ** any members, {a,b} either."""
    parts = {"/**/": "/(?:.*/)?", "**": ".*", "*": "[^/]*", "{": "(?:", "}": ")", ",": "|"}
    return re.compile(
        "".join(parts.get(each, re.escape(each)) for each in re.split(r"(/\*\*/|\*\*|[*{},])", text))
    )
