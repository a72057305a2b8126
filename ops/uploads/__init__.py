"""Uploads and what becomes of them: data, definition, verdict, failures, rollback."""
