"""What writes the generated files, and asks AWS the first live checks."""
