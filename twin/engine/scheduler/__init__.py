"""What vLLM's scheduler decides in a step: who runs, with which KV blocks and in which adapter slots; compiled."""
