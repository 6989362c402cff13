"""A value that cannot be known from the file.

It comes from outside: a variable without a default, a template's value, another file. Rules that need it say nothing of
this server.

Check the file as it is when it is used (`helm template ... | advisor check -`), or give a default: ${SLOTS:-8}.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import SETTINGS, Server

RULE = Rule("AD501", "value-not-known", Severity.REMARK, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Tell every setting whose value is not known."""
    for name in ("enable_lora", *SETTINGS):
        flag = server.deployment.flag(name)
        if flag is not None and flag.value is not None and flag.value.text is None:
            depends = f": it depends on {flag.value.unknown}" if flag.value.unknown else ""
            yield RULE.finding(
                server,
                f"{flag.spelled} cannot be known{depends}",
                flag.value.place,
                why="nothing is said of what follows from it",
            )
    model = server.deployment.model
    if server.target is not None and server.serves_adapters and model is not None and model.text is None:
        depends = f": it depends on {model.unknown}" if model.unknown else ""
        yield RULE.finding(
            server,
            f"the model cannot be known{depends}",
            model.place,
            why=f"it is judged as if it served {server.target.inventory.model}",
        )
