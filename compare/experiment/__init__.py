"""What to run: the description of an experiment, its data, its random streams, and the two networks built from it."""
