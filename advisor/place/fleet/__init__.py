"""The GPUs together: who is where, and how that is settled, made cheaper and protected against a failure."""
