"""What would be if something were otherwise: more adapters, other traffic, other limits, asked of the models."""
