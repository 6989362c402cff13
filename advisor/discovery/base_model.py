"""Names of base models: whether one fits another, and whether a request asks for one."""

from __future__ import annotations

import re
from collections.abc import Collection

from advisor.derive.llm.model_name import bare

_PROVIDERS = ("hosted_vllm/", "openai/", "vllm/", "text-completion-openai/")
"""What LiteLLM puts before the name that it asks vLLM for."""
_ADDED = re.compile(
    r"([-_.](bnb|awq|gptq|fp8|int4|int8|w4a16|w8a8|nf4|4bit|8bit|bf16|fp16|unsloth|hf|dynamic|marlin))+$"
)
"""What names of the same base model differ in: who packed it, and into which numbers."""


def asked_name(name: str) -> str:
    """The name that vLLM is asked for, without the gateway's word for what kind of server it is."""
    for provider in _PROVIDERS:
        name = name.removeprefix(provider)
    return name


def fits(one: str, other: str) -> bool:
    """Whether an adapter of one model fits the other, as far as names tell: packers and number formats change them."""
    return _bare(one) == _bare(other)


def is_base(name: str, base_names: Collection[str]) -> bool:
    """Whether requests for this name are requests for the base model."""
    return any(name.casefold() == base.casefold() or ("/" in name and fits(name, base)) for base in base_names)


def _bare(model: str) -> str:
    return _ADDED.sub("", bare(model.rstrip("/")))
