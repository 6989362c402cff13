"""What chooses: which adapters of a mix one GPU serves, how many, and under which settings."""
