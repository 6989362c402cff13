"""A user's own template in a process of its own, with bounds: a template is a program, and may never end.

`python -m advisor.deploy.write.confined` is that process: a template and what it sees come in as JSON, its text goes
out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from advisor.deploy.write import template
from advisor.deploy.write.quoting import RefusedError
from advisor.deploy.write.template import MistakeError

MAX_SECONDS = 10
"""For one template: ours take less than 5 s for 100,000 adapters, most of it to hand these over."""
MAX_BYTES = 2**30
"""Of memory for one template: ours take a third of it for 100,000 adapters."""

MAX_CHARACTERS = 32_000_000
"""Of a launch file: 100,000 adapters with names and sources of 100 characters each are 25 million."""


def fill(text: str, context: Mapping[str, Any]) -> str:
    """As `template.fill`, within `MAX_SECONDS`, `MAX_BYTES` and `MAX_CHARACTERS`.

    Raises:
        MistakeError: there is a mistake in the template, or it takes more than that.
        RefusedError: the format cannot say what is to be said.
    """
    # Neither does the current folder become a place to import from (-P), nor does a pipe break if the process ends.
    command = [sys.executable, "-P", "-m", __name__, str(MAX_SECONDS), str(MAX_BYTES)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps([text, context]).encode())
        request.seek(0)
        try:
            done = subprocess.run(
                command, stdin=request, capture_output=True, env=environment, timeout=MAX_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise MistakeError(f"it takes more than {MAX_SECONDS} s") from error
    if done.returncode:
        raise MistakeError(f"it takes more than {MAX_SECONDS} s or {MAX_BYTES:,} bytes of memory")
    reply = json.loads(done.stdout)
    if "mistake" in reply:
        raise MistakeError(reply["mistake"], reply["line"])
    if "refused" in reply:
        raise RefusedError(reply["refused"])
    return str(reply["text"])


def _main(seconds: int, memory: int) -> None:
    _bound(seconds, memory)
    text, context = json.load(sys.stdin.buffer)
    reply: dict[str, Any]
    try:
        reply = {"text": template.fill(text, context, max_characters=MAX_CHARACTERS)}
    except MemoryError:
        reply = {"mistake": f"it takes more than {memory:,} bytes of memory", "line": None}
    except RefusedError as error:
        reply = {"refused": str(error)[:500]}
    except MistakeError as error:
        reply = {"mistake": str(error)[:500], "line": error.line}
    json.dump(reply, sys.stdout)


def _bound(seconds: int, memory: int) -> None:
    """Have the operating system end this process beyond these limits, where it can: also if nobody waits any more."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    for limit, wanted in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
