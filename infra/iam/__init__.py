"""Who may do what: roles, and their statements with the reason of each."""

from infra.iam.grants import Grant, findings, role_with, wildcard_finding
from infra.iam.people import People
from infra.iam.roles import FunctionRole, PipelineRole, limit_roles

__all__ = [
    "FunctionRole",
    "Grant",
    "People",
    "PipelineRole",
    "findings",
    "limit_roles",
    "role_with",
    "wildcard_finding",
]
