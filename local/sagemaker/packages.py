"""The model registry: model package groups and the packages in them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.engine.jobs.records import now
from local.sagemaker.errors import ConflictError, ValidationError
from local.sagemaker.events import package_changed
from local.sagemaker.listing import between, in_order, page
from local.sagemaker.requests import Call, service_model
from local.sagemaker.runtime import ServiceRuntime
from local.sagemaker.tokens import Tokens


@dataclass
class ModelPackageGroupRecord:
    """A group of versions of a model."""

    name: str
    arn: str
    description: str | None
    tags: list[dict[str, str]]
    creation_time: datetime = field(default_factory=now)

    def summary(self) -> dict[str, Any]:
        """Return the group's entry of ListModelPackageGroups."""
        return {
            "ModelPackageGroupName": self.name,
            "ModelPackageGroupArn": self.arn,
            "ModelPackageGroupDescription": self.description,
            "CreationTime": self.creation_time,
            "ModelPackageGroupStatus": "Completed",
        }


@dataclass
class ModelPackageRecord:
    """A version of a group, or a package that has a name of its own."""

    name: str
    """Of the group, for a version."""
    arn: str
    version: int | None
    said: dict[str, Any]
    """What requests said about it, under SageMaker's names."""
    tags: list[dict[str, str]]
    creation_time: datetime = field(default_factory=now)
    last_modified_time: datetime | None = None

    def describe(self) -> dict[str, Any]:
        """Return the answer of DescribeModelPackage."""
        name = "ModelPackageName" if self.version is None else "ModelPackageGroupName"
        return {
            "CertifyForMarketplace": False,
            **_with_digests(self.said),
            name: self.name,
            "ModelPackageVersion": self.version,
            "ModelPackageArn": self.arn,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }

    def summary(self) -> dict[str, Any]:
        """Return the package's entry of ListModelPackages."""
        members = service_model().shape_for("ModelPackageSummary").members
        return {name: value for name, value in self.describe().items() if name in members}


class Packages:
    """The model registry of one account and region."""

    def __init__(self, runtime: ServiceRuntime) -> None:
        self._runtime = runtime
        self._groups: dict[str, ModelPackageGroupRecord] = {}
        """By name in lower case, as ARNs have it."""
        self._packages: dict[str, ModelPackageRecord] = {}
        """By ARN."""
        self._versions: dict[str, int] = {}
        self._tokens = Tokens("ClientToken")
        self._lock = threading.RLock()

    def groups(self) -> list[ModelPackageGroupRecord]:
        """Return all groups."""
        with self._lock:
            return list(self._groups.values())

    def packages(self) -> list[ModelPackageRecord]:
        """Return all packages."""
        with self._lock:
            return list(self._packages.values())

    def taggable(self) -> Iterable[ModelPackageGroupRecord | ModelPackageRecord]:
        """Return all groups and packages."""
        return [*self.groups(), *self.packages()]

    def create_group(self, call: Call) -> dict[str, Any]:
        """Answer CreateModelPackageGroup."""
        name = call["ModelPackageGroupName"]
        arn = self._runtime.arn(f"model-package-group/{name}")
        with self._lock:
            if name.lower() in self._groups:
                raise ValidationError(f"Model Package Group already exists: {arn}")
            description = call.get("ModelPackageGroupDescription")
            self._groups[name.lower()] = ModelPackageGroupRecord(
                name, arn, description, list(call.get("Tags", []))
            )
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, call: Call) -> dict[str, Any]:
        """Answer DescribeModelPackageGroup."""
        return {**self._group(call["ModelPackageGroupName"]).summary(), "CreatedBy": {}}

    def delete_group(self, call: Call) -> None:
        """Answer DeleteModelPackageGroup: only an empty group goes."""
        with self._lock:
            group = self._group(call["ModelPackageGroupName"])
            versions = [p.arn for p in self._packages.values() if _in_group(p, group)]
            if versions:
                raise ConflictError(
                    f"Cannot delete model package group {group.arn}: it holds {len(versions)} model "
                    f"packages, for example {versions[0]}; delete them first."
                )
            del self._groups[group.name.lower()]

    def list_groups(self, call: Call) -> dict[str, Any]:
        """Answer ListModelPackageGroups."""
        found = [
            group
            for group in list(self._groups.values())
            if call.get("NameContains", "").lower() in group.name.lower()
            and between(call, group.creation_time, "CreationTimeAfter", "CreationTimeBefore")
        ]
        by_name = call.get("SortBy") == "Name"
        ordered = in_order(call, found, lambda g: g.name if by_name else g.creation_time, "Ascending")
        return page(call, [group.summary() for group in ordered], "ModelPackageGroupSummaryList")

    def create(self, call: Call) -> dict[str, Any]:
        """Answer CreateModelPackage; versions of a group are never given twice."""
        call.refuse("ValidationSpecification")  # SageMaker would run its transform jobs
        if bool(call.get("ModelPackageName")) == bool(call.get("ModelPackageGroupName")):
            raise ValidationError("Give either ModelPackageName or ModelPackageGroupName.")
        with self._lock:
            if answer := self._tokens.answer(call):
                return answer
            package = self._versioned(call) if call.get("ModelPackageGroupName") else self._unversioned(call)
            self._packages[package.arn] = package
            answer = self._tokens.keep(call, {"ModelPackageArn": package.arn})
        package_changed(self._runtime.host, package.arn, package.describe())
        return answer

    def _versioned(self, call: Call) -> ModelPackageRecord:
        if call.get("Tags"):
            raise ValidationError(
                "A version of a model package group has the tags of its group: you cannot supply Tags."
            )
        name = self._group(call["ModelPackageGroupName"]).name
        version = self._versions[name] = self._versions.get(name, 0) + 1
        said = {"ModelApprovalStatus": "PendingManualApproval", **_said(call)}
        arn = self._runtime.arn(f"model-package/{name}/{version}")
        return ModelPackageRecord(name, arn, version, said, [])

    def _unversioned(self, call: Call) -> ModelPackageRecord:
        name = call["ModelPackageName"]
        arn = self._runtime.arn(f"model-package/{name}")
        if arn in self._packages:
            raise ValidationError(f"Model Package already exists: {arn}")
        return ModelPackageRecord(name, arn, None, _said(call), list(call.get("Tags", [])))

    def describe(self, call: Call) -> dict[str, Any]:
        """Answer DescribeModelPackage."""
        package = self._package(call["ModelPackageName"])
        return {**package.describe(), "CreatedBy": {}, "LastModifiedBy": {}}

    def update(self, call: Call) -> dict[str, Any]:
        """Answer UpdateModelPackage: what the request does not name stays."""
        with self._lock:
            package = self._package(call["ModelPackageArn"])
            properties = {
                **(package.said.get("CustomerMetadataProperties") or {}),
                **call.get("CustomerMetadataProperties", {}),
            }
            for name in call.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(name, None)
            package.said |= {**_said(call), "CustomerMetadataProperties": properties or None}
            if more := call.get("AdditionalInferenceSpecificationsToAdd"):
                known = package.said.get("AdditionalInferenceSpecifications") or []
                package.said["AdditionalInferenceSpecifications"] = [*known, *more]
            package.last_modified_time = now()
            described = package.describe()
        package_changed(self._runtime.host, package.arn, described)
        return {"ModelPackageArn": package.arn}

    def delete(self, call: Call) -> None:
        """Answer DeleteModelPackage."""
        with self._lock:
            del self._packages[self._package(call["ModelPackageName"]).arn]

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListModelPackages: those of a group when one is named, else the unversioned ones."""
        name = call.get("ModelPackageGroupName")
        group = self._group(name) if name else None
        kind = call.get("ModelPackageType", "Versioned" if group else "Unversioned")
        found = [p for p in list(self._packages.values()) if _wanted(call, p, group, kind)]
        by_name = call.get("SortBy") == "Name"
        ordered = in_order(call, found, lambda p: (p.name,) if by_name else (p.creation_time, p.version or 0))
        return page(call, [p.summary() for p in ordered], "ModelPackageSummaryList")

    def _group(self, name_or_arn: str) -> ModelPackageGroupRecord:
        name = name_or_arn.rpartition("/")[2].lower()
        group = self._groups.get(name)
        if group is None:
            arn = self._runtime.arn(f"model-package-group/{name}")
            raise ValidationError(f"ModelPackageGroup {arn} does not exist.")
        return group

    def _package(self, name_or_arn: str) -> ModelPackageRecord:
        is_arn = name_or_arn.startswith("arn:")
        arn = name_or_arn if is_arn else self._runtime.arn(f"model-package/{name_or_arn}")
        package = self._packages.get(arn)
        if package is None:
            raise ValidationError(f"ModelPackage {arn} does not exist.")
        return package


def _said(call: Call) -> dict[str, Any]:
    """Return what a request says about a package: what DescribeModelPackage repeats."""
    members = service_model().operation_model("DescribeModelPackage").output_shape.members
    naming = ("ModelPackageName", "ModelPackageGroupName", "ModelPackageArn")
    known = (name for name in call.parameters if name in members and name not in naming)
    return {name: call[name] for name in known if call[name] is not None}


def _with_digests(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said about a package with the digest of each image whose URI has one.

    AWS asks ECR for the others; the images of local AWS are in no registry.
    """
    members = ("InferenceSpecification", "AdditionalInferenceSpecifications")
    return {name: _digested(value) if name in members else value for name, value in said.items()}


def _digested(specification: Any) -> Any:
    if isinstance(specification, list):
        return [_digested(each) for each in specification]
    containers = []
    for container in specification.get("Containers") or []:
        _, at, digest = str(container.get("Image", "")).rpartition("@")
        containers.append({"ImageDigest": digest, **container} if at else container)
    return {**specification, "Containers": containers} if containers else specification


def _in_group(package: ModelPackageRecord, group: ModelPackageGroupRecord) -> bool:
    return package.version is not None and package.name == group.name


def _wanted(
    call: Call, package: ModelPackageRecord, group: ModelPackageGroupRecord | None, kind: str
) -> bool:
    status = call.get("ModelApprovalStatus")
    return (
        (group is None or _in_group(package, group))
        and (kind == "Both" or (package.version is not None) == (kind == "Versioned"))
        and (status is None or package.said.get("ModelApprovalStatus") == status)
        and call.get("NameContains", "").lower() in package.name.lower()
        and between(call, package.creation_time, "CreationTimeAfter", "CreationTimeBefore")
    )
