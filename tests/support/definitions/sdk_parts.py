"""What the definitions of the SageMaker SDK are made of: a session, parameters, and what makes jobs."""

import json
from pathlib import Path
from typing import Any

from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import (
    ParameterBoolean,
    ParameterFloat,
    ParameterInteger,
    ParameterString,
)
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.check_job_config import CheckJobConfig
from sagemaker.mlops.workflow.pipeline import Pipeline, PipelineGraph
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig

from pipeline_definition.session import offline_session

BUCKET = "given-at-start"
ROLE = "arn:aws:iam::111122223333:role/Jobs"
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/images:1"
QUEUE = "https://sqs.us-east-1.amazonaws.com/111122223333/queue"
CACHE = CacheConfig(enable_caching=True, expire_after="P30D")
SCORES = PropertyFile("Scores", output_name="scores", path="scores.json")


class Parts:
    """Makes what several definitions hold."""

    def __init__(self, folder: Path) -> None:
        self.session = offline_session()
        self.folder = folder
        self.graph: dict[str, list[str]] = {}
        """Of the last definition: for each step those that wait for it, as the SDK sees it."""
        self.number = ParameterInteger("Number", 1)
        self.text = ParameterString("Text", "ml.m5.large", enum_values=["ml.m5.large", "ml.m5.xlarge"])
        self.fraction = ParameterFloat("Fraction", 0.5)
        self.switch = ParameterBoolean("Switch", default_value=True)
        self.needed = ParameterString("Needed")
        self.parameters = [self.number, self.text, self.fraction, self.switch, self.needed]

    def definition(self, steps: list[Any], **options: Any) -> Any:
        """Return what Pipeline.definition writes."""
        pipeline = Pipeline(
            name="corpus",
            parameters=self.parameters,
            steps=steps,
            sagemaker_session=self.session,
            **options,
        )
        written = json.loads(pipeline.definition())
        adjacency = PipelineGraph.from_pipeline(pipeline).adjacency_list
        self.graph = {name: sorted(after) for name, after in adjacency.items()}
        return written

    def processing(self, name: str = "Process", **options: Any) -> Any:
        """Make a Processing step that writes the property file."""
        processor = Processor(
            role=ROLE,
            image_uri=IMAGE,
            instance_count=self.number,
            instance_type=self.text,
            env={"LEVEL": Join("-", [self.text, self.number])},
            sagemaker_session=self.session,
        )
        target = ProcessingS3Output(
            s3_uri=Join("/", ["s3:/", BUCKET, ExecutionVariables.PIPELINE_EXECUTION_ID]),
            local_path="/opt/ml/processing/output",
            s3_upload_mode="EndOfJob",
        )
        arguments = processor.run(
            arguments=["--fraction", self.fraction.to_string(), "--at", ExecutionVariables.START_DATETIME],
            outputs=[ProcessingOutput(output_name="scores", s3_output=target)],
        )
        return ProcessingStep(name, arguments, property_files=[SCORES], **options)

    def trainer(self, **options: Any) -> Any:
        """Make a ModelTrainer."""
        return ModelTrainer(
            sagemaker_session=self.session,
            role=ROLE,
            training_image=IMAGE,
            base_job_name="train",
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/models"),
            **{"hyperparameters": {"epochs": self.number.to_string(), "rate": "0.1"}, **options},
        )

    def training(self, name: str = "Train", **options: Any) -> Any:
        """Make a Training step on demand."""
        trainer = self.trainer(compute=Compute(instance_type="ml.m5.xlarge", instance_count=1))
        data = InputData(channel_name="train", data_source=f"s3://{BUCKET}/train")
        return TrainingStep(name, trainer.train(input_data_config=[data]), **options)

    def model(self, **options: Any) -> Any:
        """Make a ModelBuilder of trained artifacts."""
        return ModelBuilder(
            image_uri=IMAGE,
            s3_model_data_url=f"s3://{BUCKET}/model.tar.gz",
            role_arn=ROLE,
            sagemaker_session=self.session,
            dependencies={},
            **options,
        )

    def transformer(self) -> Any:
        """Make a Transformer."""
        return Transformer(
            model_name="model",
            instance_count=1,
            instance_type="ml.m5.xlarge",
            output_path=f"s3://{BUCKET}/transformed",
            base_transform_job_name="transform",  # else it asks SageMaker for the model's image
            sagemaker_session=self.session,
        )

    def check_job(self) -> Any:
        """Make the job settings of the check steps."""
        return CheckJobConfig(role=ROLE, instance_type="ml.m5.xlarge", sagemaker_session=self.session)
