"""Values of flags, as vLLM converts and bounds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from advisor.deploy.arguments.spellings import Spelling, setting
from advisor.deploy.deployment import Problem, Value

_LEAST: dict[str, float] = {
    "max_loras": 1,
    "max_num_seqs": 1,
    "max_num_batched_tokens": 1,
    "max_model_len": -1,
    "gpu_memory_utilization": 0,
    "tensor_parallel_size": 1,
}
"""What vLLM checks behind its parser, of the settings that matter here."""
_CHOICES: dict[str, Sequence[str]] = {"max_lora_rank": ("1", "8", "16", "32", "64", "128", "256", "320", "512")}
_SCALE = {letter: 1000**power for power, letter in enumerate("kmgt", 1)}
_SCALE |= {letter: 1024**power for power, letter in enumerate("KMGT", 1)}


def read_value(name: str, value: Value, spelled: str) -> tuple[Value, Problem | None]:
    """A setting's value as vLLM takes it (128k is 128000), and why it does not, if it does not."""
    spelling = setting(name)
    if spelling is None or value.text is None:
        return value, None
    try:
        return replace(value, text=_converted(spelling, value.text)), None
    except ValueError as error:
        return value, Problem("invalid-value", f"{spelled} {value.text}: {error}; vLLM does not start", value.place)


def _converted(spelling: Spelling, text: str) -> str:
    """The text of a value as vLLM reads it.

    Raises:
        ValueError: it does not; the message says why.
    """
    if spelling.or_none and text in ("", "None"):
        return "None"
    if spelling.type in ("int", "tokens", "tokens-or-auto"):
        if spelling.type == "tokens-or-auto" and text.strip().lower() in ("-1", "auto"):
            return "-1"
        number: float = _whole(text) if spelling.type == "int" else _tokens(text)
    elif spelling.type == "float":
        try:
            number = float(text)
        except ValueError:
            raise ValueError("no number") from None
    else:
        return text
    least = _LEAST.get(spelling.name)
    if least is not None and number < least:
        raise ValueError(f"less than {least:g}")
    if spelling.name == "gpu_memory_utilization" and not 0 < number <= 1:
        raise ValueError("not above 0 and at most 1")
    read = str(number)
    if spelling.name in _CHOICES and read not in _CHOICES[spelling.name]:
        raise ValueError(f"none of {', '.join(_CHOICES[spelling.name])}")
    return read if spelling.type != "float" else text.strip()


def _whole(text: str) -> int:
    if len(text) > 100:
        raise ValueError("no whole number")
    try:
        return int(text)
    except ValueError:
        raise ValueError("no whole number") from None


def _tokens(text: str) -> int:
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kKmMgGtT])", text.strip())
    if not match:
        return _whole(text)
    number, letter = match.groups()
    if letter.isupper() and "." in number:
        raise ValueError(f"no decimals before {letter} (1,024s); {number}{letter.lower()} would be 1,000s")
    return int(number) * _SCALE[letter] if letter.isupper() else int(float(number) * _SCALE[letter])
