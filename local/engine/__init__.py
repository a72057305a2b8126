"""The engine that executes pipeline definitions: order, conditions, cache, retries, jobs, Spot."""
