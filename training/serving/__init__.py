"""The HTTP server of serve: what it takes, how much of it at once, and how it answers."""
