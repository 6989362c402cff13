"""What the compiled scheduler is held to: the same server written for reading, and decisions step by step."""
