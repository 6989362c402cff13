"""What readers find while they read: see advisor/check/spellings.py for the page of each."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Edit, Finding, Fix, Severity
from advisor.check.server import Server
from advisor.check.spellings import OTHER, PROBLEMS
from advisor.deploy.deployment import Problem

READ_AS = "0.32"
"""The version of vLLM that readers read as."""


def check(server: Server) -> Iterator[Finding]:
    """Tell every problem of the deployment."""
    for problem in server.deployment.problems:
        if problem.code == "invalid-value" and server.no_such_rank and problem.place == server.place("max_lora_rank"):
            continue  # the rule of ranks knows what is right
        if problem.code == "unknown-arguments" and _own_arguments(server, problem) and server.complete:
            continue  # most scripts pass on what they are called with; here nothing is left that it could add
        fix = None
        if problem.replacement is not None and problem.place.file is None:
            edit = Edit(problem.place.start, problem.place.end, problem.replacement)
            fix = Fix(f"write {problem.replacement.strip()}", (edit,))
        rule = PROBLEMS.get(problem.code, OTHER)
        newer = problem.code == "unknown-flag" and server.newer_than(READ_AS)
        yield rule.finding(
            server,
            problem.message,
            problem.place,
            why=f"the file is for vLLM {server.version}, which may know it" if newer else rule.reason,
            fix=fix,
            severity=Severity.REMARK if newer else None,
        )


def _own_arguments(server: Server, problem: Problem) -> bool:
    """Whether what is unknown are the arguments that a script is called with."""
    words = server.text[problem.place.start : problem.place.end].strip("\"'")
    return problem.place.file is None and words in ("$@", "$*", "${@}", "${*}")
