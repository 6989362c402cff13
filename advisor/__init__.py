"""From an inventory of LoRA adapters to vLLM launch flags: what a user installs."""

__version__ = "0.1.0"
