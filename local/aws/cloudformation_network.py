"""VPCs with subnets, routes, endpoints and flow logs, in moto's EC2; nothing is ever routed."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Properties,
    ResourceType,
    Shape,
    Target,
    Unsupported,
    tag_changes,
    tag_list,
)


def settle_tags(target: Target) -> None:
    """Bring the tags of an EC2 resource to those of the template."""
    ec2, (gone, new) = target.aws("ec2"), tag_changes(target.before.get("Tags"), target.properties["Tags"])
    if gone:
        ec2.delete_tags(Resources=[target.id], Tags=[{"Key": key} for key in gone])
    if new:
        ec2.create_tags(Resources=[target.id], Tags=tag_list(new))


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


class Vpc(ResourceType):
    """AWS::EC2::VPC."""

    type = "AWS::EC2::VPC"
    required = frozenset({"CidrBlock"})
    create_only = frozenset({"CidrBlock"})
    attributes = frozenset({"VpcId"})
    defaults: ClassVar[Properties] = {"EnableDnsHostnames": False, "EnableDnsSupport": True, "Tags": None}
    shape: ClassVar[Shape] = {
        "CidrBlock": ANY,
        "EnableDnsHostnames": ANY,
        "EnableDnsSupport": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the VPC."""
        made = target.aws("ec2").create_vpc(CidrBlock=target.properties["CidrBlock"])
        return str(made["Vpc"]["VpcId"])

    def apply(self, target: Target) -> None:
        """Settle DNS and tags."""
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            value = {"Value": _is_true(target.properties[name])}
            target.aws("ec2").modify_vpc_attribute(VpcId=target.id, **{name: value})
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the VPC."""
        target.aws("ec2").delete_vpc(VpcId=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give its id."""
        return {"VpcId": target.id}

    def read(self, target: Target) -> Properties:
        """Read block, DNS and tags."""
        ec2 = target.aws("ec2")
        (vpc,) = ec2.describe_vpcs(VpcIds=[target.id])["Vpcs"]

        def flag(name: str, attribute: str) -> bool:
            answer = ec2.describe_vpc_attribute(VpcId=target.id, Attribute=attribute)
            return bool(answer[name]["Value"])

        return {
            "CidrBlock": vpc["CidrBlock"],
            "EnableDnsHostnames": flag("EnableDnsHostnames", "enableDnsHostnames"),
            "EnableDnsSupport": flag("EnableDnsSupport", "enableDnsSupport"),
            "Tags": vpc.get("Tags"),
        }


class Subnet(ResourceType):
    """AWS::EC2::Subnet."""

    type = "AWS::EC2::Subnet"
    required = frozenset({"CidrBlock", "VpcId"})
    create_only = frozenset({"AvailabilityZone", "CidrBlock", "VpcId"})
    defaults: ClassVar[Properties] = {"MapPublicIpOnLaunch": False, "Tags": None}
    shape: ClassVar[Shape] = {
        "AvailabilityZone": ANY,
        "CidrBlock": ANY,
        "MapPublicIpOnLaunch": ANY,
        "Tags": TAGS,
        "VpcId": ANY,
    }

    def create(self, target: Target) -> str:
        """Make the subnet."""
        given = {name: target.properties[name] for name in self.create_only if name in target.properties}
        return str(target.aws("ec2").create_subnet(**given)["Subnet"]["SubnetId"])

    def apply(self, target: Target) -> None:
        """Settle public addresses and tags."""
        value = {"Value": _is_true(target.properties["MapPublicIpOnLaunch"])}
        target.aws("ec2").modify_subnet_attribute(SubnetId=target.id, MapPublicIpOnLaunch=value)
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the subnet."""
        target.aws("ec2").delete_subnet(SubnetId=target.id)

    def read(self, target: Target) -> Properties:
        """Read what the template may say."""
        (subnet,) = target.aws("ec2").describe_subnets(SubnetIds=[target.id])["Subnets"]
        return {name: subnet.get(name) for name in self.shape}


class RouteTable(ResourceType):
    """AWS::EC2::RouteTable, with the route within the VPC alone."""

    type = "AWS::EC2::RouteTable"
    required = frozenset({"VpcId"})
    create_only = frozenset({"VpcId"})
    defaults: ClassVar[Properties] = {"Tags": None}
    shape: ClassVar[Shape] = {"Tags": TAGS, "VpcId": ANY}

    def create(self, target: Target) -> str:
        """Make the table."""
        made = target.aws("ec2").create_route_table(VpcId=target.properties["VpcId"])
        return str(made["RouteTable"]["RouteTableId"])

    def apply(self, target: Target) -> None:
        """Settle tags."""
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the table."""
        target.aws("ec2").delete_route_table(RouteTableId=target.id)

    def read(self, target: Target) -> Properties:
        """Read VPC and tags."""
        (table,) = target.aws("ec2").describe_route_tables(RouteTableIds=[target.id])["RouteTables"]
        return {"Tags": table.get("Tags"), "VpcId": table["VpcId"]}


class SubnetRouteTableAssociation(ResourceType):
    """AWS::EC2::SubnetRouteTableAssociation."""

    type = "AWS::EC2::SubnetRouteTableAssociation"
    required = frozenset({"RouteTableId", "SubnetId"})
    create_only = required
    shape: ClassVar[Shape] = {"RouteTableId": ANY, "SubnetId": ANY}

    def create(self, target: Target) -> str:
        """Have the subnet use the table."""
        made = target.aws("ec2").associate_route_table(**target.properties)
        return str(made["AssociationId"])

    def delete(self, target: Target) -> None:
        """Have the subnet use the VPC's main table again."""
        target.aws("ec2").disassociate_route_table(AssociationId=target.id)

    def read(self, target: Target) -> Properties:
        """Read which subnet uses which table."""
        ask = [{"Name": "association.route-table-association-id", "Values": [target.id]}]
        (table,) = target.aws("ec2").describe_route_tables(Filters=ask)["RouteTables"]
        (found,) = (each for each in table["Associations"] if each["RouteTableAssociationId"] == target.id)
        return {name: found[name] for name in self.shape}


class VpcEndpoint(ResourceType):
    """AWS::EC2::VPCEndpoint that is a gateway."""

    type = "AWS::EC2::VPCEndpoint"
    required = frozenset({"ServiceName", "VpcId"})
    create_only = frozenset({"ServiceName", "VpcEndpointType", "VpcId"})
    defaults: ClassVar[Properties] = {"RouteTableIds": None, "Tags": None, "VpcEndpointType": "Gateway"}
    shape: ClassVar[Shape] = {
        "PolicyDocument": ANY,
        "RouteTableIds": ANY,
        "ServiceName": ANY,
        "Tags": TAGS,
        "VpcEndpointType": ANY,
        "VpcId": ANY,
    }

    def create(self, target: Target) -> str:
        """Make the endpoint."""
        given = {name: target.properties[name] for name in self.create_only}
        return str(target.aws("ec2").create_vpc_endpoint(**given)["VpcEndpoint"]["VpcEndpointId"])

    def apply(self, target: Target) -> None:
        """Settle policy, route tables and tags."""
        held = set(target.before.get("RouteTableIds") or [])
        wanted = set(target.properties["RouteTableIds"] or [])
        changes: dict[str, Any] = {}
        if target.properties.get("PolicyDocument"):
            changes["PolicyDocument"] = json.dumps(target.properties["PolicyDocument"])
        if wanted - held:
            changes["AddRouteTableIds"] = sorted(wanted - held)
        if held - wanted:
            changes["RemoveRouteTableIds"] = sorted(held - wanted)
        if changes:
            target.aws("ec2").modify_vpc_endpoint(VpcEndpointId=target.id, **changes)
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the endpoint."""
        target.aws("ec2").delete_vpc_endpoints(VpcEndpointIds=[target.id])

    def read(self, target: Target) -> Properties:
        """Read what the template may say."""
        (found,) = target.aws("ec2").describe_vpc_endpoints(VpcEndpointIds=[target.id])["VpcEndpoints"]
        policy = found.get("PolicyDocument")
        return {
            **{name: found.get(name) for name in self.shape},
            "PolicyDocument": json.loads(policy) if policy else None,
        }


class FlowLog(ResourceType):
    """AWS::EC2::FlowLog into a bucket; nothing flows on the laptop, so nothing is written."""

    type = "AWS::EC2::FlowLog"
    required = frozenset({"LogDestination", "LogDestinationType", "ResourceId", "ResourceType"})
    create_only = required | {"TrafficType"}
    defaults: ClassVar[Properties] = {"Tags": None}
    shape: ClassVar[Shape] = {
        "LogDestination": ANY,
        "LogDestinationType": ANY,
        "ResourceId": ANY,
        "ResourceType": ANY,
        "Tags": TAGS,
        "TrafficType": ANY,
    }

    def create(self, target: Target) -> str:
        """Make the flow log."""
        given = {name: target.properties[name] for name in self.create_only if name in target.properties}
        made = target.aws("ec2").create_flow_logs(ResourceIds=[given.pop("ResourceId")], **given)
        if made["Unsuccessful"]:
            raise Unsupported(made["Unsuccessful"][0]["Error"]["Message"])
        return str(made["FlowLogIds"][0])

    def apply(self, target: Target) -> None:
        """Settle tags."""
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the flow log."""
        target.aws("ec2").delete_flow_logs(FlowLogIds=[target.id])

    def read(self, target: Target) -> Properties:
        """Read what the template may say; what kind of resource it is, its id tells."""
        (found,) = target.aws("ec2").describe_flow_logs(FlowLogIds=[target.id])["FlowLogs"]
        kinds = {"vpc": "VPC", "subnet": "Subnet", "eni": "NetworkInterface"}
        return {
            **{name: found.get(name) for name in self.shape},
            "ResourceType": kinds.get(found["ResourceId"].partition("-")[0]),
        }
