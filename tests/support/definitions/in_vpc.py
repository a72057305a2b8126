"""The shipped definition for a deployment whose jobs run in a VPC."""

from typing import Any

from tests.support.definitions.policy_cases import DEPLOYED, Definition, arguments, shipped

SUBNETS = {"SubnetId1": "subnet-0a", "SubnetId2": "subnet-0b"}
GROUPS = {"SecurityGroupId1": "sg-0a"}
VPC = {**DEPLOYED, **SUBNETS, **GROUPS}
JOBS = ("Preprocess", "TrainSpot", "TrainOnDemand", "EvaluateSpot", "EvaluateOnDemand")
CONFIG = {
    "Subnets": [{"Get": f"Parameters.{name}"} for name in SUBNETS],
    "SecurityGroupIds": [{"Get": f"Parameters.{name}"} for name in GROUPS],
}
COMMAND = "python -m pipeline_definition --subnets 2 --security-groups 1 --output FILE"


def in_vpc(config: Any = None, *jobs: str) -> Definition:
    """Put the shipped jobs into the deployment's VPC, and some `jobs` where `config` says."""
    definition = shipped()
    definition["Parameters"] += [{"Name": name, "Type": "String"} for name in (*SUBNETS, *GROUPS)]
    for name in JOBS:
        place = arguments(definition, name)
        place = place.get("NetworkConfig", place)
        place["VpcConfig"] = config if name in jobs else CONFIG
        if place["VpcConfig"] is None:
            del place["VpcConfig"]
    return definition
