"""What people are told: alarms, notifications, the dashboard."""

from infra.monitoring.alarms import Alarms
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.notifications import Notifications

__all__ = ["Alarms", "Dashboard", "Notifications"]
