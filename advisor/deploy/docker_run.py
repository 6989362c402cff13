"""What `docker run` starts: an image with arguments for its server, or a command in place of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.deploy import command
from advisor.deploy.command import Launch
from advisor.deploy.deployment import Problem, Value
from advisor.deploy.vllm_flags import Word

_PROGRAMS = ("docker", "podman", "nerdctl")
_SWITCHES = re.compile(
    r"-[ditqP]+|--(?:detach|interactive|tty|rm|init|privileged|publish-all|read-only|no-healthcheck|oom-kill-disable|"
    r"sig-proxy|disable-content-trust|quiet|replace|tls-verify)"
)
"""Options of `docker run` that take no value: all others do."""
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=")


@dataclass(frozen=True, slots=True)
class Container:
    """What `docker run` starts."""

    kind: str
    image: Value
    environment: dict[str, Value]
    launch: Launch | None
    words: list[Word]
    """The command in the container, where the image does not start the server by itself."""
    doubled: Problem | None


def read(words: Sequence[Word]) -> Container | None:
    """The container that a command runs; None if it runs none."""
    at = next((i for i, word in enumerate(words) if word.text.rpartition("/")[2] in _PROGRAMS), None)
    if at is None:
        return None
    verb = next((i for i in range(at + 1, min(at + 4, len(words))) if words[i].text in ("run", "create")), None)
    if verb is None:
        return None
    environment: dict[str, Value] = {}
    entry: Word | None = None
    i = verb + 1
    while i < len(words) and (
        words[i].text.startswith("-") or (words[i].unknown and words[i].splits and i + 1 < len(words))
    ):
        option, equals, _ = words[i].text.partition("=")
        name = option.lstrip("-")
        i += 1
        if not option.startswith("-") or _SWITCHES.fullmatch(option):
            continue
        value = words[i - 1] if equals else words[i] if i < len(words) else None
        start = len(option) + 1 if equals else 0
        i += not equals
        if value is None:
            break
        if name in ("e", "env") and (assigned := _ASSIGNED.match(value.text, start)):
            environment[assigned[1]] = value.value(assigned.end())
        elif name == "entrypoint":
            entry = replace(value, source=value.source.part(start, len(value.text)))
    if i >= len(words):
        return None
    image, rest = words[i].value(), list(words[i + 1 :])
    kind = f"{words[at].text.rpartition('/')[2]} run"
    if entry is not None:
        return Container(kind, image, environment, None, [entry, *rest], None)
    name = image.text or ""
    if command.serves(name):
        launch = command.launched(rest)
        doubled = None
        if launch is not None and rest and rest[0].text.rpartition("/")[2] in ("vllm", "python", "python3"):
            doubled = Problem(
                "doubled-command",
                "the image starts `vllm serve` itself, and this is put behind it: vLLM does not start; "
                "give the arguments alone, or --entrypoint",
                rest[0].place,
            )
        return Container(kind, image, environment, launch or Launch(rest, True), rest, doubled)
    return Container(kind, image, environment, None, rest, None)
