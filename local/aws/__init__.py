"""The AWS of this machine: MiniStack with our SageMaker in it, served on loopback by a process of its own.

with LocalAWS(work_dir=Path("work")) as aws:
    aws.client("s3").create_bucket(Bucket="example")
"""

from local.aws.local_aws import LocalAWS, PortTakenError, ServerEndedError

__all__ = ["LocalAWS", "PortTakenError", "ServerEndedError"]
