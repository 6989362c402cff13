"""Adapters are loaded while the server runs, and vLLM is not told to allow it.

vLLM answers /v1/load_lora_adapter with 404 unless VLLM_ALLOW_RUNTIME_LORA_UPDATING is set to True in its environment.
What loads adapters from outside (the lora-syncer of the Gateway API inference extension, the production-stack's
loraAdapters, AIBrix) needs it, and so do the resolver plugins that find an adapter when it is asked.

Set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.deploy.arguments.command import SWITCH
from advisor.deploy.deployment import Place

RULE = Rule("AD406", "runtime-loading-not-allowed", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """See whether the switch is on where something needs it."""
    deployment = server.deployment
    if deployment.partial or (needed := _needed_by(server)) is None:
        return
    what, place = needed
    switch = deployment.environment.get(SWITCH)
    if switch is None or (switch.text is not None and switch.text.strip().lower() not in ("1", "true")):
        yield RULE.finding(
            server,
            f"{what}, but {SWITCH} is not set" + ("" if switch is None else " to True"),
            place if switch is None else switch.place,
            why="vLLM refuses to load an adapter while it runs",
            fix=Fix(f"{SWITCH}=True in the server's environment"),
        )


def _needed_by(server: Server) -> tuple[str, Place] | None:
    deployment = server.deployment
    if (loader := deployment.loader) is not None:
        return f"{loader.text} loads adapters while it runs", loader.place
    if (folder := deployment.environment.get("VLLM_LORA_RESOLVER_CACHE_DIR")) is not None:
        return "adapters are found by a resolver", folder.place
    plugins = deployment.environment.get("VLLM_PLUGINS")
    if plugins is not None and "resolver" in (plugins.text or ""):
        return "adapters are found by a resolver", plugins.place
    if server.judged is not None and server.judged.inventory.dynamic:
        return "the inventory's adapters come and go (dynamic)", deployment.place
    return None
