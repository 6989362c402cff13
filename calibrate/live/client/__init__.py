"""The load generator: what to send and when, the streams that come back, and what it bears."""
