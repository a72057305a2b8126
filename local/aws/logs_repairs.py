"""Let a log group have a key, which moto keeps from the start only and asks nobody about."""

from __future__ import annotations

from typing import Any

from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogsBackend
from moto.logs.responses import LogsResponse

from local.aws.key_use import UnusableKeyError, check_service

_CREATE_LOG_GROUP = LogsBackend.create_log_group
_ACTIONS = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")
"""What CloudWatch Logs does with the key of a log group."""


def install() -> None:
    """Put the repairs in."""
    LogsBackend.create_log_group = _create_log_group
    LogsResponse.associate_kms_key = _associate_kms_key
    LogsResponse.disassociate_kms_key = _disassociate_kms_key


def _create_log_group(backend: LogsBackend, log_group_name: str, tags: dict[str, str], **options: Any) -> Any:
    if options.get("kmsKeyId"):
        _check(backend, log_group_name, options["kmsKeyId"])
    return _CREATE_LOG_GROUP(backend, log_group_name, tags, **options)


def _associate_kms_key(response: LogsResponse) -> str:
    """Encrypt from now on with a key whose policy lets CloudWatch Logs use it for this log group."""
    group, key_id = _group(response), response._get_param("kmsKeyId")
    _check(response.logs_backend, group.name, key_id)
    group.kms_key_id = key_id
    return ""


def _disassociate_kms_key(response: LogsResponse) -> str:
    """Encrypt with CloudWatch's own key from now on."""
    _group(response).kms_key_id = None
    return ""


def _group(response: LogsResponse) -> Any:
    name = response._get_param("logGroupName")
    if name not in response.logs_backend.groups:
        raise ResourceNotFoundException
    return response.logs_backend.groups[name]


def _check(backend: LogsBackend, name: str, key_id: str) -> None:
    account, region = backend.account_id, backend.region_name
    arn = f"arn:aws:logs:{region}:{account}:log-group:{name}"
    context = {"kms:EncryptionContext:aws:logs:arn": arn}
    service = f"logs.{region}.amazonaws.com"
    try:
        check_service(key_id, service, _ACTIONS, account=account, region=region, context=context)
    except UnusableKeyError as error:
        raise InvalidParameterException(f"No key for the log group {arn}: {error}") from error
