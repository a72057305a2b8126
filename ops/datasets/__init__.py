"""Data sets that somebody publishes: what each is, and how it is fetched."""
