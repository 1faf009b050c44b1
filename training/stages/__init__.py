"""A training run: what it starts from, its steps, looks and checkpoints."""
