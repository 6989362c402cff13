"""PEFT adapters in folders and in caches of the Hugging Face hub: their ranks, and what vLLM would refuse."""
