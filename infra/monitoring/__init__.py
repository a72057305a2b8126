"""What people are told: alarms, notifications, the dashboard."""
