"""What a deployment may choose: the context keys of cdk.json, and deployment_policy.json."""
