"""Signs in a text by which a file, or what stands in one, is known without being read."""

from __future__ import annotations

import re

SERVER = re.compile(
    r"vllm|lora|NIM_|nvcr\.io/nim/|OPTION_|option\.|gpu.?memory.?utili[sz]ation|max.?num.?seqs|max.?model.?len|LLM\(",
    re.IGNORECASE,
)
"""What a text has in it if a server in it may be one of vLLM's."""
SERVER_WITHIN = re.compile(rf"{SERVER.pattern}|--model\b", re.IGNORECASE)
"""The same of a text that stands in a file with a sign of a server: there a model alone will do."""
UNIT = re.compile(r"^[ \t]*\[(?:Unit|Service|Install|Container|Quadlet|program:[^\]\n]+)\][ \t\r]*$", re.MULTILINE)
"""A section of a unit of systemd, a Quadlet or a program of supervisord."""
