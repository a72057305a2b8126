"""What executions cost: billed, likely, and by month."""
