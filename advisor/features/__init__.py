"""What the models see of a set of adapters, and the closed-form estimate behind it."""
