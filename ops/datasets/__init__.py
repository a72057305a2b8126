"""Data sets: checked and looked at before an upload, and fetched from whoever publishes them."""
