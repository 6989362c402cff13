"""A flag that the image's vLLM does not have yet.

vLLM refuses a flag that it does not know, and does not start. Of every flag the last version is kept that surely has
not got it; of an image in between nothing is said.

Take a newer image, or leave the flag out.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server, release
from advisor.deploy.vllm_version import SINCE

RULE = Rule("AD408", "image-older-than-flag", Severity.ERROR, __doc__ or "")
LAST_WITHOUT = {
    "async_scheduling": "0.9.2",
    "default_mm_loras": "0.9.2",
    "enable_log_requests": "0.9.2",
    "enable_tower_connector_lora": "0.12.0",
    "kv_cache_memory_bytes": "0.10.1",
    "lora_target_modules": "0.15.0",
    "max_num_partial_prefills": "0.7.2",
    "specialize_active_lora": "0.14.0",
}
"""By vLLM's name of the flag."""


def check(server: Server) -> Iterator[Finding]:
    """Compare the version with what the flags need."""
    if (version := server.version) is None:
        return
    for flag in server.deployment.flags:
        last, first = LAST_WITHOUT.get(flag.name), SINCE.get(flag.name)
        if (last and release(version) <= release(last)) or (first and release(version) < release(first)):
            yield RULE.finding(
                server,
                f"vLLM {version} has no {flag.spelled} and does not start",
                flag.place,
                why=f"it came with {first}" if first else f"up to {last} at least there was no such flag",
            )
