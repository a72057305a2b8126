"""What a deployment holds on AWS, and how it is removed."""
