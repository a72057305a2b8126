"""Local AWS: the deployed template, the events, the pipeline and its jobs on this machine."""
