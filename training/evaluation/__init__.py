"""What an evaluation says of a model: numbers with intervals, answers, pictures, and where it comes from."""
