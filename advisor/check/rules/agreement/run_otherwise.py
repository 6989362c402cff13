"""A server that is run on other GPUs, or with other bits, than the inventory says.

How many GPUs a server spans (tensor_parallel_size), and what its weights and its KV cache are packed into, decide what
its steps take and what room there is: expectations and recommendations are of what the inventory says (tensor_parallel,
quantization, kv_cache_dtype).

Mend the one that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.derive.llm.packing import PRECISIONS

RULE = Rule("AD409", "run-otherwise", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare what the file says with how the pair is run."""
    target = server.judged
    if target is None or server.lora is not True:
        return
    pair = target.pair
    gpus = server.given("tensor_parallel_size")
    if gpus is None and server.deployment.flag("tensor_parallel_size") is None and not server.partial:
        gpus = 1
    if gpus is not None and gpus != pair.gpus:
        yield _finding(server, "tensor_parallel_size", f"{gpus:g}", f"tensor_parallel {pair.gpus}")
    method = _text(server, "quantization")
    if method is not None and PRECISIONS.get(method, pair.weights) != pair.weights:
        yield _finding(server, "quantization", method, f"weights in {pair.weights}")
    kv, ours = _text(server, "kv_cache_dtype"), str(pair.flags.get("kv_cache_dtype", "auto"))
    if kv is not None and kv.startswith("fp8") != ours.startswith("fp8"):
        yield _finding(server, "kv_cache_dtype", kv, f"kv_cache_dtype {ours}")


def _finding(server: Server, name: str, given: str, ours: str) -> Finding:
    return RULE.finding(
        server,
        f"{name} is {given}, the inventory is of a server with {ours}",
        server.place(name),
        why="steps and room for requests are others than what is expected here",
    )


def _text(server: Server, name: str) -> str | None:
    """What the file gives for a setting; None where it gives none, or none that can be known."""
    flag = server.deployment.flag(name)
    return None if flag is None or flag.value is None else flag.value.text
