"""What platforms call a vLLM server: a small module each says what it knows and where to go on."""
