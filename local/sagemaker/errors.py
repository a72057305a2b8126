"""The errors that SageMaker answers with."""

from __future__ import annotations


class ServiceError(Exception):
    """An answer that is an error: its code and message as clients see them, its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class ValidationError(ServiceError):
    """A request that SageMaker refuses, or that names what is not there."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class ResourceNotFoundError(ServiceError):
    """A pipeline, a version, an execution or a tagged resource that is not there."""

    def __init__(self, message: str) -> None:
        super().__init__("ResourceNotFound", message)


class ConflictError(ServiceError):
    """A request that does not fit what another request does or did."""

    def __init__(self, message: str) -> None:
        super().__init__("ConflictException", message)


class InUseError(ServiceError):
    """A name that is taken, or a job that still runs."""

    def __init__(self, message: str) -> None:
        super().__init__("ResourceInUse", message)


class LimitExceededError(ServiceError):
    """More than the account may have."""

    def __init__(self, message: str) -> None:
        super().__init__("ResourceLimitExceeded", message)


class OperationMissingError(ServiceError):
    """An operation that SageMaker has and local AWS has not."""

    def __init__(self, operation: str, instead: str = "") -> None:
        super().__init__("NotImplemented", f"{operation} is not implemented on local AWS{instead}.")
