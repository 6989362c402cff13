"""Many GPUs: which adapters go where, so that the fewest GPUs serve them all. Asks `recommend`; owns no model."""
