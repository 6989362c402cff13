"""An answer in sentences: what binds, what would help, and why each number is what it is."""
