"""SageMaker for one machine: its API, pipelines, jobs and model registry; the engine below runs them."""
