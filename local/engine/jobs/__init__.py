"""SageMaker's jobs as processes of this machine: records, folders, transfers, logs, containers, Spot."""
