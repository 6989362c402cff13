"""A value that vLLM does not take, where the reader has not said so yet."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding
from advisor.check.server import READABLE, SETTINGS, Server, automatic, in_range
from advisor.check.spellings import PROBLEMS

RULE = PROBLEMS["invalid-value"]


def check(server: Server) -> Iterator[Finding]:
    """See whether the values are numbers, and in range."""
    for name in SETTINGS:
        flag = server.deployment.flag(name)
        if flag is None or flag.value is None or flag.value.text is None or automatic(name, flag.value.text):
            continue
        if server.told(flag.value.place):
            continue
        value = server.given(name)
        if value is None:
            wanted = "a number" if name == "gpu_memory_utilization" else "a whole number"
            also = " (128k and 8K are taken, too)" if name in READABLE else ""
            yield RULE.finding(
                server,
                f"{flag.spelled} {flag.value.text!r} is not {wanted}: vLLM does not start",
                flag.value.place,
                why=f"vLLM reads {wanted} here{also}",
            )
        elif not in_range(name, value):
            right = "above 0 and at most 1" if name == "gpu_memory_utilization" else "at least 1"
            yield RULE.finding(
                server,
                f"{server.says(name)}: it must be {right}, vLLM does not start",
                flag.value.place,
                why="vLLM checks its settings before it loads the model",
            )
