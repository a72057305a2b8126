"""VPCs, subnets, security groups, endpoints and flow logs on the laptop: made, changed, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stacks
from local.aws import LocalAWS

REF = {"Ref": "Vpc"}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as running:
        yield running
    stacks.client.cache_clear()


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::EC2::{kind}", "Properties": properties}


def network(**more: Any) -> dict[str, Any]:
    return stacks.template(
        Vpc=resource("VPC", CidrBlock="10.1.0.0/24", EnableDnsHostnames=True, Tags=tags("a")),
        Subnet=resource(
            "Subnet",
            VpcId=REF,
            CidrBlock="10.1.0.0/25",
            AvailabilityZone={"Fn::Select": [1, {"Fn::GetAZs": ""}]},
        ),
        Table=resource("RouteTable", VpcId=REF),
        Association=resource(
            "SubnetRouteTableAssociation", SubnetId={"Ref": "Subnet"}, RouteTableId={"Ref": "Table"}
        ),
        Group=resource(
            "SecurityGroup",
            VpcId=REF,
            GroupDescription="jobs",
            SecurityGroupEgress=[rule("10.1.0.0/24", 443)],
        ),
        From=resource(
            "SecurityGroupIngress",
            GroupId={"Ref": "Group"},
            SourceSecurityGroupId={"Ref": "Group"},
            IpProtocol="-1",
            Description="each other",
        ),
        **more,
    )


def rule(cidr: str, port: int) -> dict[str, Any]:
    return {"CidrIp": cidr, "IpProtocol": "tcp", "FromPort": port, "ToPort": port}


def tags(value: str) -> list[dict[str, str]]:
    return [{"Key": "Name", "Value": value}]


def own(aws: LocalAWS) -> list[Any]:
    vpcs: list[Any] = stacks.client(aws, "ec2").describe_vpcs()["Vpcs"]
    return [each for each in vpcs if not each["IsDefault"]]


def egress(aws: LocalAWS) -> set[tuple[str, int]]:
    ec2 = stacks.client(aws, "ec2")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "description", "Values": ["jobs"]}])[
        "SecurityGroups"
    ]
    return {
        (address["CidrIp"], each.get("FromPort", -1))
        for each in group["IpPermissionsEgress"]
        for address in each["IpRanges"]
    }


def test_a_network_is_made_as_the_template_says_and_removed_whole(aws: LocalAWS) -> None:
    assert stacks.create(aws, network())["StackStatus"] == "CREATE_COMPLETE", stacks.failures(aws)
    (vpc,) = own(aws)
    assert vpc["CidrBlock"] == "10.1.0.0/24"
    ec2 = stacks.client(aws, "ec2")
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert (subnet["AvailabilityZone"], subnet["MapPublicIpOnLaunch"]) == ("us-east-1b", False)
    # EC2's own rule that lets everything out is gone.
    assert egress(aws) == {("10.1.0.0/24", 443)}
    stacks.client(aws, "cloudformation").delete_stack(StackName=stacks.STACK)
    assert own(aws) == []


def test_rules_and_tags_are_changed_in_place(aws: LocalAWS) -> None:
    stacks.create(aws, network())
    (vpc,) = own(aws)
    changed = network()
    changed["Resources"]["Vpc"]["Properties"]["Tags"] = tags("b")
    changed["Resources"]["Group"]["Properties"]["SecurityGroupEgress"] = [rule("10.1.0.0/25", 80)]
    assert stacks.update(aws, changed)["StackStatus"] == "UPDATE_COMPLETE", stacks.failures(aws)
    (after,) = own(aws)
    assert (after["VpcId"], after["Tags"]) == (vpc["VpcId"], tags("b"))
    assert egress(aws) == {("10.1.0.0/25", 80)}


def test_an_endpoint_s_policy_and_routes_are_read_back_and_changed(aws: LocalAWS) -> None:
    def with_endpoint(action: str, *tables: str) -> dict[str, Any]:
        allow = {**stacks.allow(action), "Principal": "*"}
        return network(
            Other=resource("RouteTable", VpcId=REF),
            S3=resource(
                "VPCEndpoint",
                VpcId=REF,
                ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                VpcEndpointType="Gateway",
                RouteTableIds=[{"Ref": each} for each in tables],
                PolicyDocument={"Version": "2012-10-17", "Statement": [allow]},
            ),
        )

    made = stacks.create(aws, with_endpoint("s3:GetObject", "Table"))
    assert made["StackStatus"] == "CREATE_COMPLETE", stacks.failures(aws)
    updated = stacks.update(aws, with_endpoint("s3:PutObject", "Table", "Other"))
    assert updated["StackStatus"] == "UPDATE_COMPLETE", stacks.failures(aws)
    updated = stacks.update(aws, with_endpoint("s3:PutObject", "Other"))
    assert updated["StackStatus"] == "UPDATE_COMPLETE", stacks.failures(aws)
    (found,) = stacks.client(aws, "ec2").describe_vpc_endpoints()["VpcEndpoints"]
    assert "s3:PutObject" in found["PolicyDocument"]
    assert len(found["RouteTableIds"]) == 1


def test_a_flow_log_into_no_bucket_fails_with_the_reason(aws: LocalAWS) -> None:
    log = resource(
        "FlowLog",
        ResourceId=REF,
        ResourceType="VPC",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination="arn:aws:s3:::nowhere",
    )
    assert stacks.create(aws, network(Flows=log))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "does not exist" in stacks.failures(aws)["Flows"]


def test_what_would_lead_out_is_not_there(aws: LocalAWS) -> None:
    for kind in ("InternetGateway", "NatGateway", "Route"):
        with pytest.raises(Exception, match=f"does not implement the resource type AWS::EC2::{kind}"):
            stacks.create(aws, network(Out=resource(kind)))
