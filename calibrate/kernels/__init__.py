"""vLLM's LoRA kernels by themselves: what they take on a GPU, measured without a server."""
