"""A server on another GPU than the inventory's.

Memory and speed are those of the GPU that the inventory names: expectations and recommendations say nothing of another.

Mend the one that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD402", "another-gpu", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the kind of GPU with the inventory's."""
    target, gpu = server.judged, server.deployment.gpu
    if target is None or gpu is None or server.same_gpu is not False:
        return
    yield RULE.finding(
        server,
        f"the GPU is {gpu.text}, the inventory's is {target.inventory.gpu}",
        gpu.place,
        why="memory and expectations are of the inventory's GPU and are not judged here",
    )
