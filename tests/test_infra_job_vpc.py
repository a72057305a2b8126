"""The stack's own VPC for jobs: no way out but to its bucket, and nothing that costs by the hour."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from test_infra_template import resources, synthesis, the_only

__all__ = ["synthesis"]

FREE = {
    "AWS::EC2::FlowLog",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
}


@pytest.fixture(scope="module")
def made(synthesis: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = synthesis.synthesise({"create_vpc": True})
    return found


def test_without_it_there_is_no_network_of_the_stack(synthesis: ModuleType) -> None:
    kinds = {each["Type"] for each in synthesis.synthesise({})["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::EC2::")]


def test_there_is_no_way_out_and_nothing_that_costs_by_the_hour(made: dict[str, Any]) -> None:
    # No gateway to the internet, no NAT, no interface endpoint, no peering, and no route at all.
    kinds = {each["Type"] for each in made["Resources"].values() if each["Type"].startswith("AWS::EC2::")}
    assert kinds == FREE
    assert the_only(made, "AWS::EC2::VPCEndpoint")["Properties"]["VpcEndpointType"] == "Gateway"


def test_two_subnets_in_two_zones_use_the_endpoint_s_routes(made: dict[str, Any]) -> None:
    subnets = [each["Properties"] for each in resources(made, "AWS::EC2::Subnet")]
    assert [each["AvailabilityZone"]["Fn::Select"][0] for each in subnets] == [0, 1]
    assert {each["MapPublicIpOnLaunch"] for each in subnets} == {False}
    tables = the_only(made, "AWS::EC2::VPCEndpoint")["Properties"]["RouteTableIds"]
    associated = [each["Properties"] for each in resources(made, "AWS::EC2::SubnetRouteTableAssociation")]
    assert [each["RouteTableId"] for each in associated] == tables * 2
    assert [each["SubnetId"]["Ref"] for each in associated] == ["JobSubnet1", "JobSubnet2"]


def test_the_endpoint_leads_to_the_deployment_s_bucket_alone(made: dict[str, Any]) -> None:
    endpoint = the_only(made, "AWS::EC2::VPCEndpoint")["Properties"]
    (statement,) = endpoint["PolicyDocument"]["Statement"]
    bucket = "arn:${AWS::Partition}:s3:::cv-birds-${AWS::AccountId}-${AWS::Region}"
    assert [each["Fn::Sub"] for each in statement["Resource"]] == [bucket, f"{bucket}/*"]
    assert statement["Action"] == ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}


def test_instances_of_jobs_reach_each_other_and_the_endpoint(made: dict[str, Any]) -> None:
    group = the_only(made, "AWS::EC2::SecurityGroup")["Properties"]
    assert "SecurityGroupIngress" not in group
    (out,) = group["SecurityGroupEgress"]
    assert (out["IpProtocol"], out["FromPort"], out["ToPort"]) == ("tcp", 443, 443)
    for kind, other in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        rule = the_only(made, f"AWS::EC2::SecurityGroup{kind}")["Properties"]
        assert rule["GroupId"] == rule[other] == {"Ref": "JobSecurityGroup"}


def test_who_talked_to_whom_is_kept_beside_the_access_logs(made: dict[str, Any]) -> None:
    flows = the_only(made, "AWS::EC2::FlowLog")["Properties"]
    assert (flows["TrafficType"], flows["LogDestinationType"]) == ("ALL", "s3")
    (logs,) = (
        each["Properties"]["PolicyDocument"]["Statement"]
        for name, each in made["Resources"].items()
        if each["Type"] == "AWS::S3::BucketPolicy" and "AccessLogs" in name
    )
    deliver = {each["Sid"]: each for each in logs if "FlowLogs" in each.get("Sid", "")}
    assert deliver.keys() == {"CheckFlowLogs", "DeliverFlowLogs"}
    for each in deliver.values():
        assert each["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
        assert each["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_the_function_hands_its_ids_to_the_jobs(made: dict[str, Any]) -> None:
    variables = the_only(made, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
    parts = variables["PIPELINE_PARAMETERS"]["Fn::Join"][1]
    for name, reference in (
        ("SubnetId1", "JobSubnet1"),
        ("SubnetId2", "JobSubnet2"),
        ("SecurityGroupId1", "JobSecurityGroup"),
    ):
        at = next(index for index, part in enumerate(parts) if f'"{name}":"' in str(part))
        assert parts[at + 1] == {"Fn::Sub": f"${{{reference}}}"}
