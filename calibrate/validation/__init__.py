"""The twin beside measured runs: `runs` are read, `replay` repeats them, `comparison` and `cross_validation` judge."""
