"""Host memory for fewer adapters than are served.

--max-cpu-loras is how many adapters vLLM keeps in host memory. Of more, the one that was asked least recently is
dropped, from its slot too, and read from disk again when it is asked: inside a step, while every other request waits.

Give it the number of adapters that are served, where the host has the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD203", "adapters-dropped-from-host-memory", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the host's cache with the adapters that are served."""
    target, in_host, slots = server.judged, server.takes("max_cpu_loras"), server.takes("max_loras")
    if target is None or in_host is None or slots is None or server.lora is not True or in_host < slots:
        return
    served = target.host_slots
    if in_host >= served:
        return
    loading = target.profile.loading
    disk_ms = loading.disk_base_ms + loading.disk_per_rank_ms * target.largest_rank
    yield RULE.finding(
        server,
        f"{server.says('max_cpu_loras')}: host memory for {in_host:,} of {served:,} adapters",
        server.place("max_cpu_loras"),
        why=f"the others are read from disk whenever they are asked, about {disk_ms:,.0f} ms in which all wait",
        fix=server.written(max_cpu_loras=served),
    )
