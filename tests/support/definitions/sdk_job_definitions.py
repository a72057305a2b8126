"""Definitions that the SageMaker SDK writes of jobs, whose Arguments are requests of SageMaker."""

from typing import Any

from sagemaker.core.clarify import BiasConfig, DataConfig, ModelConfig, ModelPredictedLabelConfig, SHAPConfig
from sagemaker.core.model_monitor.dataset_format import DatasetFormat
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.workflow import conditions as c
from sagemaker.core.workflow.pipeline_capture import capture_create_job_request
from sagemaker.core.workflow.pipeline_context import runnable_by_pipeline
from sagemaker.core.workflow.pipeline_definition_config import PipelineDefinitionConfig
from sagemaker.mlops.workflow.clarify_check_step import (
    ClarifyCheckStep,
    DataBiasCheckConfig,
    ModelBiasCheckConfig,
    ModelExplainabilityCheckConfig,
)
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.function_step import step as function_step
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.monitor_batch_transform_step import MonitorBatchTransformStep
from sagemaker.mlops.workflow.notebook_job_step import NotebookJobStep
from sagemaker.mlops.workflow.quality_check_step import (
    DataQualityCheckConfig,
    ModelQualityCheckConfig,
    QualityCheckStep,
)
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import JobStep, ProcessingStep, TrainingStep, TransformStep, TuningStep
from sagemaker.train.configs import CheckpointConfig, Compute, InputData, StoppingCondition
from sagemaker.train.tuner import HyperparameterTuner

from tests.support.definitions.sdk_parts import BUCKET, CACHE, IMAGE, ROLE, Parts


class _Job:
    """A producer of CreateJob, as the SDK's trainer of agents is one."""

    _pipeline_caller_name = "create_job"

    def __init__(self, session: Any, options: dict[str, Any]) -> None:
        self.sagemaker_session, self.options = session, options

    def _train(self) -> Any:
        return capture_create_job_request(self.sagemaker_session, **self.options)

    train = runnable_by_pipeline(_train)


class JobDefinitions(Parts):
    """Each public method of its own makes one definition."""

    def processing_and_training(self) -> Any:
        """Retry policies of both kinds, cache, spot."""
        policies = [
            StepRetryPolicy(list(StepExceptionTypeEnum), interval_seconds=10, max_attempts=20),
            SageMakerJobStepRetryPolicy(list(SageMakerJobExceptionTypeEnum), expire_after_mins=14400),
        ]
        spot = self.trainer(
            compute=Compute(instance_type=self.text, instance_count=1, enable_managed_spot_training=True),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=60, max_wait_time_in_seconds=60),
            checkpoint_config=CheckpointConfig(s3_uri=f"s3://{BUCKET}/checkpoints"),
        )
        process = self.processing(cache_config=CACHE, retry_policies=policies, display_name="One")
        train = TrainingStep("Spot", spot.train(), retry_policies=policies, depends_on=[process])
        return self.definition([process, train, self.training(description="On demand.")])

    def script_processing(self) -> Any:
        """A processor that uploads its script."""
        script = self.folder / "script.py"
        script.write_text("print(1)\n")
        processor = ScriptProcessor(
            role=ROLE,
            image_uri=IMAGE,
            command=["python3"],
            instance_count=1,
            instance_type="ml.m5.xlarge",
            sagemaker_session=self.session,
        )
        return self.definition([ProcessingStep("Script", processor.run(code=str(script)))])

    def custom_job_prefixes(self) -> Any:
        """Names of jobs, which the SDK leaves out unless it is told to keep them."""
        steps = [self.processing(), self.training()]
        config = PipelineDefinitionConfig(use_custom_job_prefix=True)
        return self.definition(steps, pipeline_definition_config=config)

    def models(self) -> Any:
        """Create and register."""
        created = ModelStep("Create", self.model().build())
        registered = ModelStep(
            "Register",
            self.model().register(
                model_package_group_name=self.needed,
                content_types=["text/csv"],
                response_types=["text/csv"],
                inference_instances=["ml.m5.large"],
                transform_instances=["ml.m5.large"],
                approval_status="PendingManualApproval",
            ),
            retry_policies=[StepRetryPolicy([StepExceptionTypeEnum.THROTTLING], max_attempts=3)],
        )
        return self.definition([created, registered])

    def transform(self) -> Any:
        """A batch transform."""
        arguments = self.transformer().transform(
            data=f"s3://{BUCKET}/data", content_type="text/csv", split_type="Line", join_source="Input"
        )
        return self.definition([TransformStep("Transform", arguments, cache_config=CACHE)])

    def tuning(self) -> Any:
        """A tuning job over all kinds of ranges."""
        trainer = self.trainer(compute=Compute(instance_type="ml.m5.xlarge", instance_count=1))
        tuner = HyperparameterTuner(
            model_trainer=trainer,
            objective_metric_name="accuracy",
            metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=(.*)"}],
            hyperparameter_ranges={
                "rate": ContinuousParameter(0.1, self.fraction),
                "depth": IntegerParameter(1, 3),
                "kind": CategoricalParameter(["a", "b"]),
            },
            max_jobs=2,
        )
        data = InputData(channel_name="train", data_source=f"s3://{BUCKET}/train")
        step = TuningStep("Tune", tuner.tune(inputs=[data]))
        best = FailStep("Best", step.get_top_model_s3_uri(0, BUCKET))
        return self.definition([step, best])

    def job(self) -> Any:
        """A job of a category, which has its settings in one text."""
        options = {
            "job_name": "job",
            "role_arn": ROLE,
            "job_category": "AgentRFT",
            "schema_version": "1.0.0",
            "job_config": {"OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"}, "Agent": self.needed},
            "tags": [{"Key": "a", "Value": "b"}],
        }
        step = JobStep("Job", _Job(self.session, options).train(), cache_config=CACHE)
        fail = FailStep("Say", step.properties.JobArn)
        return self.definition([step, fail])

    def quality_checks(self) -> Any:
        """Data and model quality."""
        data = DataQualityCheckConfig(
            baseline_dataset=f"s3://{BUCKET}/baseline.csv",
            dataset_format=DatasetFormat.csv(),
            output_s3_uri=f"s3://{BUCKET}/out",
        )
        model = ModelQualityCheckConfig(
            baseline_dataset=self.needed,
            dataset_format=DatasetFormat.csv(),
            output_s3_uri=f"s3://{BUCKET}/out",
            problem_type="Regression",
            inference_attribute="_c0",
            ground_truth_attribute="_c1",
        )
        first = QualityCheckStep(
            "Data", data, self.check_job(), skip_check=self.switch, model_package_group_name="group"
        )
        second = QualityCheckStep("Model", model, self.check_job(), fail_on_violation=False)
        fail = FailStep("Say", first.properties.CalculatedBaselineConstraints)
        return self.definition([first, second, fail])

    def clarify_checks(self) -> Any:
        """Data bias, model bias and explainability."""
        data = DataConfig(
            s3_data_input_path=f"s3://{BUCKET}/data.csv",
            s3_output_path=f"s3://{BUCKET}/out",
            s3_analysis_config_output_path=f"s3://{BUCKET}/config",
            label="a",
            headers=["a", "b"],
            dataset_type="text/csv",
        )
        bias = BiasConfig(label_values_or_threshold=[1], facet_name="b")
        model = ModelConfig(model_name="model", instance_count=1, instance_type="ml.m5.large")
        shap = SHAPConfig(baseline=[[1, 2]], num_samples=1, agg_method="mean_abs")
        configs = {
            "DataBias": DataBiasCheckConfig(data, bias),
            "ModelBias": ModelBiasCheckConfig(data, bias, model, ModelPredictedLabelConfig(label="a")),
            "Explain": ModelExplainabilityCheckConfig(data, model, shap),
        }
        return self.definition(
            [ClarifyCheckStep(name, config, self.check_job()) for name, config in configs.items()]
        )

    def monitored_transform(self) -> Any:
        """A transform with a check after it."""
        config = DataQualityCheckConfig(
            baseline_dataset=f"s3://{BUCKET}/baseline.csv",
            dataset_format=DatasetFormat.csv(),
            output_s3_uri=f"s3://{BUCKET}/out",
        )
        arguments = self.transformer().transform(data=f"s3://{BUCKET}/data")
        both = MonitorBatchTransformStep("Monitored", arguments, config, self.check_job())
        return self.definition(both.steps)  # the pipeline of this version refuses the collection itself

    def notebook(self) -> Any:
        """A notebook job."""
        notebook = self.folder / "notebook.ipynb"
        notebook.write_text("{}")
        step = NotebookJobStep(
            name="Notebook",
            notebook_job_name="notebook",
            input_notebook=str(notebook),
            image_uri=IMAGE,
            kernel_name="python3",
            role=ROLE,
            s3_root_uri=f"s3://{BUCKET}/notebooks",
            parameters={"a": self.text},
        )
        return self.definition([step])

    def functions(self) -> Any:
        """Decorated functions, which become Training steps."""
        settings = {"image_uri": IMAGE, "instance_type": "ml.m5.large", "role": ROLE}

        def one_more(number: int) -> int:
            return number + 1

        first = function_step(name="First", **settings)(one_more)
        second = function_step(name="Second", **settings)(one_more)
        one = first(self.number)
        check = ConditionStep("Check", conditions=[c.ConditionGreaterThan(one, 1)], if_steps=[second(one)])
        return self.definition([check])
