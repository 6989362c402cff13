"""What a GPU is: its figures, its names, and what its kernels get out of it."""
