"""The files that servers are found in, one module a format."""
