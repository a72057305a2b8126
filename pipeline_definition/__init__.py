"""The pipeline as code: it gives `pipeline.json`, the portable definition that an upload starts."""
