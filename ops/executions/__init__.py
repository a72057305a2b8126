"""Executions as SageMaker describes them: steps, jobs, metrics, models."""
