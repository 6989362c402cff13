"""A real vLLM server: start it with dummy adapters, meet one that runs, read its metrics, end it surely."""
