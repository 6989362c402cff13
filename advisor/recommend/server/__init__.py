"""The server that an answer launches: what its settings make of it, and what there is room for on it."""
