"""The bucket, the policy on it, and the key of what is in it."""
