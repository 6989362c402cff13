"""What judges: whether a GPU with these adapters, under these settings, keeps the objective."""
