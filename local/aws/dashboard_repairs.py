"""Let dashboards have tags, which moto's CloudWatch keeps for alarms only."""

from __future__ import annotations

from collections.abc import Mapping

from moto.cloudwatch.models import CloudWatchBackend

_TAG_RESOURCE = CloudWatchBackend.tag_resource
_DELETE_DASHBOARDS = CloudWatchBackend.delete_dashboards


def install() -> None:
    """Put the repairs in."""
    CloudWatchBackend.tag_resource = _tag_resource
    CloudWatchBackend.delete_dashboards = _delete_dashboards


def _tag_resource(backend: CloudWatchBackend, arn: str, tags: Mapping[str, str]) -> None:
    if any(dashboard.arn == arn for dashboard in list(backend.dashboards.values())):
        backend.tagger.tag_resource(arn, [{"Key": key, "Value": value} for key, value in tags.items()])
    else:
        _TAG_RESOURCE(backend, arn, tags)


def _delete_dashboards(backend: CloudWatchBackend, dashboards: list[str]) -> str | None:
    arns = [backend.dashboards[name].arn for name in dashboards if name in backend.dashboards]
    error: str | None = _DELETE_DASHBOARDS(backend, dashboards)
    if error is None:
        for arn in arns:
            backend.tagger.delete_all_tags_for_resource(arn)
    return error
