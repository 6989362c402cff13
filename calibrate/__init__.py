"""Measurements -> Profile: fit the constants of a pair, validate the twin against real runs."""
