"""The engine: scheduler, KV cache, adapter slots, latency, compiled by Numba, with the plain reference beside it."""
