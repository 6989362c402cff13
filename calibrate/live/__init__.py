"""Drive a real vLLM server: dummy adapters, a server that surely ends, what it ran on."""
