"""Definitions that the SageMaker SDK writes of what is no job: steps that decide, call, repeat, clean up."""

from typing import Any

from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.lineage.action import Action
from sagemaker.core.lineage.artifact import Artifact
from sagemaker.core.lineage.context import Context as LineageContext
from sagemaker.core.shapes.shapes import MlflowConfig
from sagemaker.core.workflow import conditions as c
from sagemaker.core.workflow.execution_variables import ExecutionVariable, ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.mlops.workflow.callback_step import CallbackOutput, CallbackOutputTypeEnum, CallbackStep
from sagemaker.mlops.workflow.cleanup_step import CleanupStep, S3CleanupSource
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.emr_serverless_step import EMRServerlessJobConfig, EMRServerlessStep
from sagemaker.mlops.workflow.emr_step import EMRStep, EMRStepConfig
from sagemaker.mlops.workflow.endpoint_step import EndpointConfigStep, EndpointStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, ForEachStep, IterationOutput
from sagemaker.mlops.workflow.inference_component_step import InferenceComponentStep
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.lineage_step import LineageAssociation, LineageEntityReference, LineageStep
from sagemaker.mlops.workflow.pipeline_experiment_config import (
    PipelineExperimentConfig,
    PipelineExperimentConfigProperties,
)
from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy
from sagemaker.mlops.workflow.step_dependency import StepDependency, TriggerCondition

from tests.support.definitions.sdk_parts import BUCKET, CACHE, QUEUE, ROLE, SCORES, Parts


class OtherDefinitions(Parts):
    """Each public method of its own makes one definition."""

    def conditions(self) -> Any:
        """Every condition type, nested, over every kind of value."""
        process = self.processing()
        score = JsonGet(step_name="Process", property_file=SCORES, json_path="a.b[0]")
        named = JsonGet(step_name="Process", property_file="Scores", json_path="c")
        stored = JsonGet(s3_uri=Join("/", ["s3:/", BUCKET, self.needed]), json_path="d", step=process)
        listed = [
            c.ConditionEquals(self.text, "ml.m5.large"),
            c.ConditionGreaterThan(score, 0.5),
            c.ConditionGreaterThanOrEqualTo(named, self.fraction),
            c.ConditionLessThan(stored, self.number),
            c.ConditionLessThanOrEqualTo(ExecutionVariables.START_DATETIME, "2030-01-01"),
            c.ConditionIn(self.text, ["ml.m5.large", self.needed]),
            c.ConditionNot(c.ConditionOr([c.ConditionEquals(self.switch, True), c.ConditionEquals(1, 1)])),
        ]
        inner = ConditionStep(
            "Inner", conditions=[c.ConditionEquals(1, 1)], if_steps=[FailStep("Fail1", "a")]
        )
        outer = ConditionStep(
            "Outer",
            conditions=listed,
            if_steps=[inner],
            else_steps=[FailStep("Fail2", Join(" ", ["score", score]))],
        )
        return self.definition([process, outer])

    def variables(self) -> Any:
        """Every variable of an execution and of an experiment, and tracking by MLflow."""
        listed = [each for each in vars(ExecutionVariables).values() if isinstance(each, ExecutionVariable)]
        experiment = PipelineExperimentConfig(self.needed, ExecutionVariables.PIPELINE_EXECUTION_ID)
        named = [
            PipelineExperimentConfigProperties.EXPERIMENT_NAME,
            PipelineExperimentConfigProperties.TRIAL_NAME,
        ]
        mlflow = MlflowConfig(
            mlflow_resource_arn="arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/a",
            mlflow_experiment_name="experiment",
        )
        return self.definition(
            [FailStep("Say", Join(",", [*listed, *named]))],
            pipeline_experiment_config=experiment,
            mlflow_config=mlflow,
        )

    def dependencies(self) -> Any:
        """Steps that wait for a step's end of every kind, by name and by step."""
        always = [c.ConditionEquals(1, 1)]
        first = ConditionStep("First", conditions=always)
        after = [
            ConditionStep(f"On{each.value}", conditions=always, depends_on=[StepDependency(first, each)])
            for each in TriggerCondition
        ]
        return self.definition([first, *after, FailStep("Last", "c", depends_on=["First", after[0]])])

    def callback_and_lambda(self) -> Any:
        """Steps that call out, and what they give back."""
        outputs = [
            CallbackOutput(output_name=kind.value, output_type=kind) for kind in CallbackOutputTypeEnum
        ]
        callback = CallbackStep(
            "Callback",
            sqs_queue_url=QUEUE,
            inputs={"text": self.text, "number": 1, "list": [1, {"a": 2}]},
            outputs=outputs,
            cache_config=CACHE,
        )
        function = LambdaStep(
            "Lambda",
            Lambda("arn:aws:lambda:us-east-1:111122223333:function:f", session=self.session),
            inputs={"answer": callback.properties.Outputs["Integer"]},
            outputs=[LambdaOutput(output_name="out", output_type=LambdaOutputTypeEnum.Float)],
        )
        fail = FailStep("Fail", Join(",", [function.properties.Outputs["out"]]))
        return self.definition([callback, function, fail])

    def emr(self) -> Any:
        """EMR on a cluster of its own and on a given one, and serverless."""
        config = EMRStepConfig("s3://b/jar", args=["a", self.text], properties=[{"Key": "k", "Value": "v"}])
        groups = [{"InstanceCount": 1, "InstanceRole": "MASTER", "InstanceType": "m5.xlarge"}]
        cluster = {"Instances": {"InstanceGroups": groups}, "ReleaseLabel": "emr-7.0.0"}
        job = EMRServerlessJobConfig(
            {"sparkSubmit": {"entryPoint": "s3://b/a.py"}}, ROLE, execution_timeout_minutes=5
        )
        policies = [StepRetryPolicy([StepExceptionTypeEnum.THROTTLING], max_attempts=2)]
        return self.definition(
            [
                EMRStep("OnOwn", "n", "d", None, config, cluster_config=cluster),
                EMRStep("OnGiven", "n", "d", "j-1", config, cache_config=CACHE),
                EMRServerlessStep("Serverless", "n", "d", job, application_id="a", retry_policies=policies),
                EMRServerlessStep("Own", "n", "d", job, application_config={"releaseLabel": "emr-7.0.0"}),
            ]
        )

    def deployment(self) -> Any:
        """Endpoint configuration, endpoint, inference component."""
        variants = [
            {
                "VariantName": "all",
                "ModelName": "model",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "InitialVariantWeight": 1,
            }
        ]
        config = EndpointConfigStep(
            "Config", self.session.create_endpoint_config("config", variants), cache_config=CACHE
        )
        endpoint = EndpointStep(
            "Endpoint", self.session.create_endpoint("endpoint", config.properties.EndpointConfigName)
        )
        component = self.session.create_inference_component(
            "component",
            endpoint.properties.EndpointName,
            "all",
            {"ModelName": "model", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
            {"CopyCount": self.number},
        )
        return self.definition([config, endpoint, InferenceComponentStep("Component", component)])

    def lineage(self) -> Any:
        """Lineage entities and an association between two of them."""
        step = LineageStep(
            "Lineage",
            actions=Action.create(
                action_name="act",
                source_uri="s3://b/k",
                source_type="s3",
                action_type="ModelDeployment",
                sagemaker_session=self.session,
            ),
            artifacts=Artifact.create(
                artifact_name="art",
                source_uri="s3://b/k",
                artifact_type="DataSet",
                sagemaker_session=self.session,
            ),
            contexts=LineageContext.create(
                context_name="con",
                source_uri="s3://b/k",
                context_type="Endpoint",
                sagemaker_session=self.session,
            ),
            associations=[
                LineageAssociation(
                    LineageEntityReference(name="act", type="Action"),
                    LineageEntityReference(name="art", type="Artifact"),
                    "Produced",
                )
            ],
        )
        fail = FailStep("Say", step.properties.ActionArns["act"])
        return self.definition([step, fail])

    def cleanup(self) -> Any:
        """Removal of what a step wrote."""
        process = self.processing()
        uris = [f"s3://{BUCKET}/a", Join("/", ["s3:/", BUCKET, self.needed])]
        return self.definition([process, CleanupStep("Clean", [S3CleanupSource(process, uris)])])

    def for_each(self) -> Any:
        """A fan-out over items, with a selector, and what it gives."""
        item = CurrentItem()
        body = CallbackStep(
            "Body",
            sqs_queue_url=QUEUE,
            inputs={"name": item.name, "whole": item},
            outputs=[CallbackOutput(output_name="score", output_type=CallbackOutputTypeEnum.Float)],
        )
        selector = ForEachSelector("MaxBy", IterationOutput(body).OutputParameters["score"])
        each = ForEachStep("Each", [self.text, "b", 1], 50, [body], selector)
        given = ForEachStep("Given", self.needed, 1, [self.processing("EachProcess")])
        chosen = each.properties.Selected.OutputParameters["score"]
        first = each.properties.IterationOutputs[0].Body.OutputParameters["score"]
        fail = FailStep("Say", Join(",", [chosen, first, given.properties.Status]))
        return self.definition([each, given, fail])
