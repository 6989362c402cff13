"""The digital twin: an hour of LoRA serving on vLLM, simulated from a Profile in milliseconds."""
