"""Where a setting's value is written in a file, and what would change it: nothing where that is not sure."""

from __future__ import annotations

import re

from advisor.check.finding import Edit
from advisor.deploy.deployment import Deployment, Flag

_TOKEN = re.compile(r"[\"']?([\w.]+)[\"']?")


def replacement(text: str, flag: Flag, value: int | float | str) -> Edit | None:
    """The edit that gives a flag another value, its quotes and its spelling kept.

    None where the value does not stand there once and as it is: a variable's, one that is put together.
    """
    if flag.value is None or flag.value.text is None or flag.value.place.file:
        return None
    place, old = flag.value.place, flag.value.text
    stretch = text[place.start : place.end]
    found = [match.start() for match in re.finditer(rf"(?<![\w.]){re.escape(old)}(?![\w.])", stretch)]
    if not found and (token := _TOKEN.fullmatch(stretch)):  # 128k, which vLLM takes for 128000
        return Edit(place.start + token.start(1), place.start + token.end(1), str(value))
    if len(found) != 1 or not old:
        return None
    start = place.start + found[0]
    return Edit(start, start + len(old), str(value))


def insertion(deployment: Deployment, name: str, value: int | float | str) -> Edit | None:
    """The edit that adds a flag that is missing; None where the file has no place for it."""
    if deployment.insertion is None or deployment.insertion.place.file:
        return None
    place, template, names = deployment.insertion.place, deployment.insertion.template, deployment.insertion.names
    if "{name}" in template and name not in names:
        return None
    parts = {"{flag}": "--" + name.replace("_", "-"), "{name}": names.get(name, ""), "{value}": str(value)}
    return Edit(place.start, place.start, re.sub(r"\{(?:flag|name|value)\}", lambda found: parts[found[0]], template))
