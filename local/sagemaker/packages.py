"""Model packages and their groups: moto's own, with the answers that differ from SageMaker's put right."""

from __future__ import annotations

import threading
from typing import Any

from moto.sagemaker.models import ModelPackage, ModelPackageGroup

from local.sagemaker.events import package_changed
from local.sagemaker.listing import between, in_order, page
from local.sagemaker.requests import Call
from local.sagemaker.runtime import SageMakerRuntime
from local.sagemaker.tokens import Tokens

_PENDING = "PendingManualApproval"
_PACKAGE_MEMBERS = {
    "model_package_description": "ModelPackageDescription",
    "inference_specification": "InferenceSpecification",
    "validation_specification": "ValidationSpecification",
    "source_algorithm_specification": "SourceAlgorithmSpecification",
    "metadata_properties": "MetadataProperties",
    "model_metrics": "ModelMetrics",
    "client_token": "ClientToken",
    "customer_metadata_properties": "CustomerMetadataProperties",
    "drift_check_baselines": "DriftCheckBaselines",
    "domain": "Domain",
    "task": "Task",
    "sample_payload_url": "SamplePayloadUrl",
    "additional_inference_specifications": "AdditionalInferenceSpecifications",
}
"""moto's names of what a request says about a package."""


class Packages:
    """The model registry of one account and region; `groups` and `packages` are moto's own dictionaries."""

    def __init__(
        self,
        runtime: SageMakerRuntime,
        groups: dict[str, ModelPackageGroup],
        packages: dict[str, ModelPackage],
    ) -> None:
        self._runtime = runtime
        self._groups = groups
        self._packages = packages
        self._versions: dict[str, int] = {}
        self._tokens = Tokens("ClientToken")
        self._lock = threading.RLock()

    def create_group(self, call: Call) -> dict[str, Any]:
        """Answer CreateModelPackageGroup."""
        name = call["ModelPackageGroupName"]
        with self._lock:
            if any(known.lower() == name.lower() for known in self._groups):
                arn = self._runtime.arn(f"model-package-group/{name}")
                raise ValidationError(f"Model Package Group already exists: {arn}")
            host = self._runtime.host
            group = ModelPackageGroup(
                name,
                call.get("ModelPackageGroupDescription"),
                host.account,
                host.region,
                list(call.get("Tags", [])),
            )
            group.arn = self._runtime.arn(f"model-package-group/{name}")
            self._groups[name] = group
        return {"ModelPackageGroupArn": group.arn}

    def describe_group(self, call: Call) -> dict[str, Any]:
        """Answer DescribeModelPackageGroup."""
        group = self._group(call["ModelPackageGroupName"])
        return {**group.gen_response_object(), "CreatedBy": {}}

    def delete_group(self, call: Call) -> None:
        """Answer DeleteModelPackageGroup: only an empty group goes."""
        with self._lock:
            group = self._group(call["ModelPackageGroupName"])
            held = [p.arn for p in self._packages.values() if _in_group(p, group.model_package_group_name)]
            if held:
                raise ConflictError(
                    f"Cannot delete model package group {group.arn}: it holds {len(held)} model packages, "
                    f"for example {held[0]}; delete them first."
                )
            del self._groups[group.model_package_group_name]

    def create(self, call: Call) -> dict[str, Any]:
        """Answer CreateModelPackage; versions of a group are never given twice."""
        if bool(call.get("ModelPackageName")) == bool(call.get("ModelPackageGroupName")):
            raise ValidationError("Give either ModelPackageName or ModelPackageGroupName.")
        with self._lock:
            if answer := self._tokens.answer(call):
                return answer
            package = self._versioned(call) if call.get("ModelPackageGroupName") else self._unversioned(call)
            self._packages[package.arn] = package
            package_changed(package.arn, _described(package))
            return self._tokens.keep(call, {"ModelPackageArn": package.arn})

    def _versioned(self, call: Call) -> ModelPackage:
        name = self._group(call["ModelPackageGroupName"]).model_package_group_name
        self._versions[name] = self._versions.get(name, 0) + 1
        return self._make(
            call,
            model_package_name=name,
            model_package_group_name=name,
            model_package_version=self._versions[name],
            model_approval_status=call.get("ModelApprovalStatus", _PENDING),
            model_package_type="Versioned",
        )

    def _unversioned(self, call: Call) -> ModelPackage:
        name = call["ModelPackageName"]
        if self._runtime.arn(f"model-package/{name}") in self._packages:
            raise ValidationError(
                f"Model Package already exists: {self._runtime.arn(f'model-package/{name}')}"
            )
        return self._make(
            call,
            model_package_name=name,
            model_package_group_name=None,
            model_package_version=None,
            model_approval_status=call.get("ModelApprovalStatus"),
            model_package_type="Unversioned",
        )

    def _make(self, call: Call, **more: Any) -> ModelPackage:
        said = {ours: call.get(theirs) for ours, theirs in _PACKAGE_MEMBERS.items()}
        host = self._runtime.host
        return ModelPackage(
            **said,
            **more,
            certify_for_marketplace=call.get("CertifyForMarketplace", False),
            approval_description=None,
            region_name=host.region,
            account_id=host.account,
            tags=list(call.get("Tags", [])),
        )

    def describe(self, call: Call) -> dict[str, Any]:
        """Answer DescribeModelPackage."""
        # moto invents a Studio user; the laptop has none.
        nobody: dict[str, Any] = {"CreatedBy": {}, "LastModifiedBy": {}}
        return {**_described(self._package(call["ModelPackageName"])), **nobody}

    def update(self, call: Call) -> dict[str, Any]:
        """Answer UpdateModelPackage: what the request does not name stays."""
        with self._lock:
            package = self._package(call["ModelPackageArn"])
            if status := call.get("ModelApprovalStatus"):
                package.model_approval_status = status
            package.approval_description = call.get("ApprovalDescription", package.approval_description)
            properties = {
                **(package.customer_metadata_properties or {}),
                **call.get("CustomerMetadataProperties", {}),
            }
            for name in call.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(name, None)
            package.customer_metadata_properties = properties or None
            package.add_additional_inference_specifications(
                call.get("AdditionalInferenceSpecificationsToAdd", []) or None
            )
            package.last_modified_time = utcnow()
            package_changed(package.arn, _described(package))
        return {"ModelPackageArn": package.arn}

    def delete(self, call: Call) -> None:
        """Answer DeleteModelPackage."""
        with self._lock:
            del self._packages[self._package(call["ModelPackageName"]).arn]

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListModelPackages: those of a group when one is named, else the unversioned ones."""
        group = call.get("ModelPackageGroupName")
        name = self._group(group).model_package_group_name if group else None
        kind = call.get("ModelPackageType", "Versioned" if group else "Unversioned")
        found = [p for p in list(self._packages.values()) if _wanted(call, p, name, kind)]
        by_name = call.get("SortBy") == "Name"
        ordered = in_order(
            call,
            found,
            lambda p: (p.model_package_name,) if by_name else (p.creation_time, p.model_package_version or 0),
        )
        summaries = [p.gen_response_object() for p in ordered]
        return page(call, summaries, "ModelPackageSummaryList")

    def _group(self, name_or_arn: str) -> ModelPackageGroup:
        wanted = name_or_arn.rpartition("/")[2].lower()
        for name, group in list(self._groups.items()):
            if name.lower() == wanted:
                return group
        arn = self._runtime.arn(f"model-package-group/{wanted}")
        raise ValidationError(f"ModelPackageGroup {arn} does not exist.")

    def _package(self, name_or_arn: str) -> ModelPackage:
        is_arn = name_or_arn.startswith("arn:")
        arn = name_or_arn if is_arn else self._runtime.arn(f"model-package/{name_or_arn}")
        package = self._packages.get(arn)
        if package is None:
            raise ValidationError(f"ModelPackage {arn} does not exist.")
        return package


def _described(package: ModelPackage) -> dict[str, Any]:
    return dict(package.gen_response_object())


def _in_group(package: ModelPackage, group: str) -> bool:
    return bool(package.model_package_group_name == group)


def _wanted(call: Call, package: ModelPackage, group: str | None, kind: str) -> bool:
    versioned = package.model_package_version is not None
    status = call.get("ModelApprovalStatus")
    return (
        (group is None or _in_group(package, group))
        and (kind == "Both" or versioned == (kind == "Versioned"))
        and (status is None or package.model_approval_status == status)
        and call.get("NameContains", "").lower() in package.model_package_name.lower()
        and between(call, package.creation_time, "CreationTimeAfter", "CreationTimeBefore")
    )
