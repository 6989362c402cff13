"""Jinja templates that launch files are generated from."""
