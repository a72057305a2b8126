"""What an hour of a job costs, where `instance_prices` of the deployment policy says nothing else."""

REGION = "us-east-1"
AS_OF = "2025"
"""The year of the newest public copies of AWS's price page; they state no day, and not all of them agree."""
# SageMaker's on-demand prices of training and processing jobs, in USD an hour, as public copies of
# aws.amazon.com/sagemaker/pricing tell them. What they are today only AWS can say: `prices` in
# docs/live-checks.md. Other regions cost up to half as much again: that is what `instance_prices` in
# deployment_policy.json is for.
PRICES = {
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09,
    "ml.g5.24xlarge": 10.18,
    "ml.g5.48xlarge": 20.36,
    "ml.g6.xlarge": 1.127,
    "ml.g6.2xlarge": 1.222,
    "ml.g6.4xlarge": 1.654,
    "ml.g6.8xlarge": 2.518,
    "ml.g6.12xlarge": 5.752,
    "ml.g6.24xlarge": 8.344,
    "ml.g6.48xlarge": 16.688,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.m5.12xlarge": 2.765,
    "ml.p3.2xlarge": 3.825,
    "ml.p4d.24xlarge": 25.251,  # 37.688 until AWS lowered it in June 2025
}
# A processing job's may cost less: in eu-west-1 a bill of 2023 has 0.154 USD a month for a gigabyte of a
# training job and 0.110 for one of a processing job. Of a usual bill the difference is a thousandth.
VOLUME_GB_HOUR = 0.14 / 730
"""An hour of a gigabyte of a job's volume."""
