"""What stands between a person and a running execution: credentials, deployment, image, quotas."""
