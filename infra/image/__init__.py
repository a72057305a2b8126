"""The training image: taken as it is, built on the deploying machine, or built by AWS."""
