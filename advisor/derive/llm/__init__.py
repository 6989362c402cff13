"""What a base model is: its shape, its weights and its names, by the catalogue or its config.json."""
