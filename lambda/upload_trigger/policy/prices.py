"""What an hour of a job costs, where `instance_prices` of the deployment policy says nothing else."""

# SageMaker's on-demand prices of us-east-1, in USD an hour: assumed, see docs/live-checks.md. Other regions
# cost up to half as much again: that is what `instance_prices` in deployment_policy.json is for.
PRICES = {
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.g4dn.xlarge": 0.736,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.m5.12xlarge": 2.765,
    "ml.p3.2xlarge": 3.825,
}
VOLUME_GB_HOUR = 0.14 / 730
"""An hour of a gigabyte of a job's volume."""
