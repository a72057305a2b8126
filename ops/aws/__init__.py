"""The AWS of the environment: endpoint, stack, roles."""
