"""Executions and models side by side: what differs, and whether the difference is more than chance."""
