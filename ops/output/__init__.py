"""What a person sees of an execution: terminal, report, summary."""
