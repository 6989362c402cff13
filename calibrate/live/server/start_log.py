"""What a vLLM server writes while it starts, of versions 0.8.5 to 0.33."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CAPACITY = re.compile(r"\bKV cache size: ([\d,]+) tokens")
"""`GPU KV cache size: N tokens` up to 0.31; then CPU or XPU for GPU where it is one, and more behind it."""
_VERSION = re.compile(r"(?:server version |engine \(v|█  version )([0-9][^\s,;)]*)")
_PREFIX = re.compile(
    r"^(?:\([^)]*pid=\d+\) )?"  # (EngineCore pid=6272), since 0.10
    r"(?:\[rank\d+\]: )?"
    r"(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] )?)?"  # ERROR 11-21 06:48:31 [core.py:396]
)
_ERROR = re.compile(r"^(?:vllm(?: serve)?: error: |[\w.]*(?:Error|Exception|Interrupt): )\S")
_CONSEQUENCE = ("Engine core initialization failed", "Engine process failed to start", "cancelled")
"""Of errors that only say that there was another one."""
_OUT_OF_MEMORY = (
    "out of memory",
    "OutOfMemory",
    "No available memory for the cache blocks",
    "larger than the available KV cache memory",  # with max_model_len, V1
    "larger than the maximum number of tokens that can be stored in KV cache",  # V0
    "can't allocate memory",
)
_OTHERS_MEMORY = "on startup is less than desired GPU memory utilization"
"""The GPU was not free to begin with, which tells nothing of the settings."""


@dataclass(frozen=True, slots=True)
class StartLog:
    """The text of a log."""

    text: str

    @property
    def kv_capacity_tokens(self) -> int | None:
        """Tokens that the KV cache holds, as last reported; None before it is known."""
        found = _CAPACITY.findall(self.text)
        return int(found[-1].replace(",", "")) if found else None

    @property
    def version(self) -> str | None:
        """vLLM's version."""
        found = _VERSION.search(self.text)
        return found[1] if found else None

    @property
    def out_of_memory(self) -> str | None:
        """The error that tells that the memory does not suffice for the settings; None if none does."""
        if _OTHERS_MEMORY in self.text:
            return None
        return next((line for line in self._errors() if any(sign in line for sign in _OUT_OF_MEMORY)), None)

    @property
    def telling_line(self) -> str:
        """The last error that is no consequence of another, else the last line."""
        errors = [line for line in self._errors() if not any(sign in line for sign in _CONSEQUENCE)]
        return errors[-1] if errors else self.last_line

    @property
    def last_line(self) -> str:
        """The last line, without the prefixes of processes and loggers; empty if there is none."""
        return (self._lines() or [""])[-1]

    def _errors(self) -> list[str]:
        return [line for line in self._lines() if _ERROR.match(line)]

    def _lines(self) -> list[str]:
        return [text for line in self.text.splitlines() if (text := _PREFIX.sub("", line).strip())]
