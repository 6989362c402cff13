"""Files -> their servers -> findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor import input_file
from advisor.check import rules, suppression
from advisor.check.finding import Checked, Finding
from advisor.check.fleet import Named, Placed
from advisor.check.server import Server
from advisor.check.target import Target
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.errors import InputError

MAX_BYTES = 4 * 1024**2
"""Of a deployment file: those that people write have a few kB."""
WHAT = "a deployment file is text"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rules are told of: by code, by the beginning of codes, or by name."""

    select: tuple[str, ...] = ()
    """Only these; all where there are none."""
    ignore: tuple[str, ...] = ()

    def __contains__(self, finding: Finding) -> bool:
        wanted = not self.select or suppression.covers(self.select, finding.code, finding.rule)
        return wanted and not suppression.covers(self.ignore, finding.code, finding.rule)

    def unknown(self) -> str | None:
        """The first selector that means no rule."""
        known = rules.RULES.values()
        for each in (*self.select, *self.ignore):
            if not any(suppression.covers([each], rule.code, rule.name) for rule in known):
                return each
        return None


@dataclass(frozen=True, slots=True)
class Read:
    """A file and the servers in it."""

    file: str
    text: str
    deployments: tuple[Deployment, ...] = ()
    unreadable: str = ""
    """Why it cannot be read, if it cannot."""


def read(path: Path) -> Read:
    """The servers of a file; `-` is the standard input."""
    try:
        text = input_file.read_text(path, WHAT, MAX_BYTES)
    except InputError as error:
        return Read(str(path), "", unreadable=str(error))
    return found(str(path), text)


def found(file: str, text: str) -> Read:
    """The servers in the text of a file."""
    from advisor.deploy.finder import find

    try:
        return Read(file, text, tuple(find(text, file)))
    except NotReadableError as error:
        message = " ".join(str(error).split())
        return Read(file, text, unreadable=message if message.startswith(file) else f"{file}: {message}")


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks files against an inventory, or by what they say themselves."""

    target: Target | None = None
    vllm: str | None = None
    """The version of vLLM, where the files' images do not decide."""
    selection: Selection = Selection()
    fleet: Placed | Named | None = None
    """Who is where, if the inventory is divided among several servers."""

    def check(self, read: Read) -> Checked:
        """Judge one file. What could not be read is told in the answer."""
        if read.unreadable:
            return Checked(read.file, read.text, 0, (), read.unreadable)
        return self.judge(read.file, read.text, read.deployments)

    def check_text(self, file: str, text: str) -> Checked:
        """Judge the text of a file."""
        return self.check(found(file, text))

    def judge(self, file: str, text: str, deployments: Sequence[Deployment]) -> Checked:
        """Judge the servers that were found in a file."""
        wishes = list(suppression.suppressions(text))
        findings: list[Finding] = list(suppression.unreasoned(wishes, file)) if deployments else []
        held = suppression.Wishes(wishes)
        several = len({deployment.name or deployment.kind for deployment in deployments}) > 1
        for deployment in deployments:
            target = self.target if self.fleet is None else self.fleet.target(deployment)
            server = Server(deployment, text, target, self.vllm)
            for finding in rules.judge(server):
                named = replace(finding, message=f"{server.title}: {finding.message}") if several else finding
                findings.append(held.suppressed(named, deployment.place.line))
        return Checked(
            file, text, len(deployments), tuple(_in_order(each for each in findings if each in self.selection))
        )


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """In the order of the text, each once: a part that two servers share is told of once."""
    once: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        once.setdefault((finding.code, finding.place, finding.message), finding)
    return sorted(once.values(), key=lambda each: (each.place.line, each.place.column, each.code))
