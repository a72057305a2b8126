"""Images and their annotations, read in one way by the person's side and by the containers."""
