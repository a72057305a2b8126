"""What offers a deployment to SageMaker Studio."""
