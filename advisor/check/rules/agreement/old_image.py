"""A flag that the image's vLLM does not have yet.

vLLM refuses a flag that it does not know, and does not start. Of every flag the last release without it is known, from
the sources of the releases since 0.7.2.

Take a newer image, or leave the flag out.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server, release
from advisor.deploy.arguments.spellings import setting

RULE = Rule("AD408", "image-older-than-flag", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the version with what the flags need."""
    if (version := server.version) is None:
        return
    for flag in server.deployment.flags:
        spelling = setting(flag.name)
        if spelling and spelling.absent and release(version) <= release(spelling.absent):
            yield RULE.finding(
                server,
                f"vLLM {version} has no {flag.spelled} and does not start",
                flag.place,
                why=f"up to {spelling.absent} there was no such flag",
            )
