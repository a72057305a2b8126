"""For the benchmarks: a process that turns S3 events into executions, as the function does or by bare boto3.

    python tests/benchmarks/start_child.py handler|direct

Reads one S3 event a line from standard input and answers each with a line of JSON: the execution, the seconds
it took, the seconds of the imports before the first one, the processor time and the most memory so far. The
environment is the function's.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()
Start = Callable[[dict[str, Any]], str]


def by_handler() -> Start:
    """Start executions with the shipped function, from FUNCTION_CODE when that names its unpacked zip."""
    shipped = Path(__file__).resolve().parents[2] / "lambda"
    sys.path.insert(0, os.environ.get("FUNCTION_CODE", str(shipped)))
    from upload_trigger import handler

    return lambda event: str(handler.handler(event, None)[0]["executionArn"])


def directly() -> Start:
    """Start executions with the calls alone: nothing is checked and nothing is safe to repeat."""
    import boto3

    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

    def start(event: dict[str, Any]) -> str:
        bucket, entry = event["Records"][0]["s3"]["bucket"]["name"], event["Records"][0]["s3"]["object"]
        key, version_id = entry["key"], entry["versionId"]
        name, role = os.environ["PIPELINE_NAME"], os.environ["PIPELINE_ROLE_ARN"]
        # The function's role alone writes below verdicts/.
        place = "verdicts" if key.startswith("pipeline/") else "data/verdicts"
        verdict = f"{place}/{key}/{version_id}.json"
        s3.list_objects_v2(Bucket=bucket, Prefix=verdict, MaxKeys=1)
        text = s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)["Body"].read().decode()
        sagemaker.list_pipeline_executions(PipelineName=name, MaxResults=100)
        s3.list_object_versions(Bucket=bucket, Prefix="pipeline/parameters.json", MaxKeys=1)
        s3.list_objects_v2(Bucket=bucket, Prefix="data/")
        declared = {parameter["Name"] for parameter in json.loads(text)["Parameters"]}
        values = json.loads(os.environ["PIPELINE_PARAMETERS"])
        version = sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=role)
        started = sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineVersionId=int(version["PipelineVersionId"]),
            PipelineParameters=[{"Name": key, "Value": values[key]} for key in sorted(declared & {*values})],
        )
        arn = started["PipelineExecutionArn"]
        sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn, MaxResults=100)
        s3.list_object_versions(Bucket=bucket, Prefix=key)
        s3.put_object(Bucket=bucket, Key=verdict, Body=json.dumps({"verdict": "STARTED"}).encode())
        return str(arn)

    return start


def peak_megabytes() -> float:
    """Return the most memory this process has had; ru_maxrss on Linux counts the parent's too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    start = {"handler": by_handler, "direct": directly}[sys.argv[1]]()
    imported = time.perf_counter() - BEGAN
    for line in sys.stdin:
        began = time.perf_counter()
        arn = start(json.loads(line))
        seconds = time.perf_counter() - began
        answer = {
            "arn": arn,
            "seconds": seconds,
            "imports": imported,
            "processor": time.process_time(),
            "megabytes": peak_megabytes(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
