"""The stack's own VPC for jobs: subnets without a way out, but to the deployment's bucket."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, CfnTag, Fn, aws_ec2, aws_iam, aws_s3
from constructs import Construct

from infra.nag import acknowledge
from infra.names import Names, filled
from infra.network import OWN_SECURITY_GROUP, OWN_SUBNETS

CIDR = "10.0.0.0/24"
"""Nothing is peered with it, and a job has two addresses for each instance: 246 are enough for a hundred."""
SUBNET_CIDRS = ("10.0.0.0/25", "10.0.0.128/25")
_ALL = "-1"


class JobVpc(Construct):
    """A VPC that costs nothing by the hour: no NAT, no interface endpoints, no gateway to the internet."""

    def __init__(
        self, scope: Construct, construct_id: str, *, names: Names, access_logs: aws_s3.Bucket
    ) -> None:
        super().__init__(scope, construct_id)
        name = filled(f"{names.project}-jobs")
        self.vpc = aws_ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=CIDR,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=[CfnTag(key="Name", value=name)],
        )
        acknowledge(
            self.vpc,
            {
                "NIST.800.53.R5-VPCDefaultSecurityGroupClosed": "Jobs have a security group of their own and "
                "nothing else is in this VPC; CloudFormation cannot change the default group's rules, which "
                "let its members reach no more than each other and the bucket."
            },
        )
        table = aws_ec2.CfnRouteTable(self, "Routes", vpc_id=self.vpc.ref)
        for index, logical_id in enumerate(OWN_SUBNETS):
            subnet = aws_ec2.CfnSubnet(
                self,
                f"Subnet{index + 1}",
                vpc_id=self.vpc.ref,
                cidr_block=SUBNET_CIDRS[index],
                availability_zone=Fn.select(index, Fn.get_azs()),
                map_public_ip_on_launch=False,
                tags=[CfnTag(key="Name", value=f"{name}-{index + 1}")],
            )
            subnet.override_logical_id(logical_id)
            aws_ec2.CfnSubnetRouteTableAssociation(
                self, f"Association{index + 1}", subnet_id=subnet.ref, route_table_id=table.ref
            )
        self._security_group(name)
        self._endpoint(names, table)
        self._flow_log(names, access_logs)

    def _security_group(self, name: str) -> None:
        group = aws_ec2.CfnSecurityGroup(
            self,
            "Group",
            vpc_id=self.vpc.ref,
            group_description="Instances of jobs: they reach each other and the bucket",
            security_group_egress=[
                # By name there is no way but the endpoint's: nothing else is routed.
                aws_ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=443,
                    to_port=443,
                    cidr_ip="0.0.0.0/0",
                    description="S3, through the endpoint",
                )
            ],
            tags=[CfnTag(key="Name", value=name)],
        )
        group.override_logical_id(OWN_SECURITY_GROUP)
        # Of their own, since they name the group itself: instances of one job talk encrypted, which takes
        # UDP and ESP beside TCP.
        each_other: dict[str, Any] = {"group_id": group.ref, "ip_protocol": _ALL, "description": "each other"}
        ingress = aws_ec2.CfnSecurityGroupIngress(
            self, "FromEachOther", source_security_group_id=group.ref, **each_other
        )
        acknowledge(
            ingress,
            {
                "NIST.800.53.R5-EC2RestrictedCommonPorts": "From members of the same group alone, which are "
                "the instances of jobs; nothing else can send anything into this VPC."
            },
        )
        aws_ec2.CfnSecurityGroupEgress(
            self, "ToEachOther", destination_security_group_id=group.ref, **each_other
        )

    def _endpoint(self, names: Names, table: aws_ec2.CfnRouteTable) -> None:
        """Let the subnets reach S3, and there the deployment's bucket alone, as this account's roles."""
        aws_ec2.CfnVPCEndpoint(
            self,
            "S3",
            vpc_id=self.vpc.ref,
            service_name=filled("com.amazonaws.${AWS::Region}.s3"),
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.ref],
            policy_document=aws_iam.PolicyDocument(
                statements=[
                    aws_iam.PolicyStatement(
                        sid="OwnBucket",
                        principals=[aws_iam.StarPrincipal()],
                        actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"],
                        resources=[filled(names.bucket_arn), filled(f"{names.bucket_arn}/*")],
                        conditions={"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}},
                    )
                ]
            ),
        )

    def _flow_log(self, names: Names, logs: aws_s3.Bucket) -> None:
        """Keep who talked to whom beside the access logs: no role is needed for that, and no log group."""
        source = {
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": filled(names.arn("logs", "*"))},
        }
        delivery = [aws_iam.ServicePrincipal("delivery.logs.amazonaws.com")]
        granted = logs.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeliverFlowLogs",
                principals=delivery,
                actions=["s3:PutObject"],
                resources=[logs.arn_for_objects("AWSLogs/*")],
                conditions=source,
            )
        )
        logs.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="CheckFlowLogs",
                principals=delivery,
                actions=["s3:GetBucketAcl"],
                resources=[logs.bucket_arn],
                conditions=source,
            )
        )
        flow_log = aws_ec2.CfnFlowLog(
            self,
            "Flows",
            resource_id=self.vpc.ref,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=logs.bucket_arn,
        )
        if granted.policy_dependable:
            flow_log.node.add_dependency(granted.policy_dependable)
