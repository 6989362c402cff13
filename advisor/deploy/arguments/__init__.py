"""What a vLLM server is told: flags as its parser reads them, calls, wrappers' variables."""
