"""What a browser sees of local AWS: executions as they run, their reports, the registry."""
