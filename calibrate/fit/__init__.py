"""Measurement tables -> Profile: one module a part of it, `profile` puts them together."""
