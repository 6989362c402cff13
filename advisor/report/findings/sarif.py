"""SARIF 2.1.0, for code scanning: one run, its rules with their pages, one result a finding, with its fix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any
from urllib.parse import quote

from advisor import __version__
from advisor.check.finding import Checked, Edit, Finding, Severity
from advisor.check.rule import Rule
from advisor.check.rules import RULES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.REMARK: "note"}


def write(files: Sequence[Checked]) -> str:
    """The findings as SARIF text."""
    return json.dumps(document(files), indent=2)


def document(files: Sequence[Checked]) -> dict[str, Any]:
    """The findings as a SARIF log."""
    codes = sorted({finding.code for checked in files for finding in checked.findings})
    unreadable = [
        {
            "level": "error",
            "message": {"text": checked.unreadable},
            "locations": [{"physicalLocation": _file(checked.file)}],
        }
        for checked in files
        if checked.unreadable
    ]
    run = {
        "tool": {
            "driver": {"name": "advisor", "version": __version__, "rules": [_rule(RULES[code]) for code in codes]}
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not unreadable, "toolExecutionNotifications": unreadable}],
        "results": [
            _result(finding, checked, codes.index(finding.code)) for checked in files for finding in checked.findings
        ],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    page = cleandoc(rule.explanation)
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": page},
        "help": {"text": page},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
    }


def _result(finding: Finding, checked: Checked, index: int) -> dict[str, Any]:
    said = [finding.message, finding.why, finding.fix and f"Instead: {finding.fix.message}"]
    place = finding.place
    region = _region(place.start, place.end, checked.text)
    if place.file is not None:  # the file's text is not at hand
        region = {"startLine": place.line, "startColumn": place.column}
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": ". ".join(each for each in said if each)},
        "locations": [{"physicalLocation": {**_file(finding.file), "region": region}}],
    }
    if finding.fix and finding.fix.edits:
        replacements = [_replacement(edit, checked.text) for edit in finding.fix.edits]
        change = {"artifactLocation": _file(checked.file)["artifactLocation"], "replacements": replacements}
        result["fixes"] = [{"description": {"text": finding.fix.message}, "artifactChanges": [change]}]
    if finding.suppressed is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.suppressed}]
    return result


def _file(file: str) -> dict[str, Any]:
    path = Path(file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix(), safe="/")
    return {"artifactLocation": {"uri": uri}}


def _replacement(edit: Edit, text: str) -> dict[str, Any]:
    return {"deletedRegion": _region(edit.start, edit.end, text), "insertedContent": {"text": edit.text}}


def _region(start: int, end: int, text: str) -> dict[str, int]:
    first, last = _point(start, text), _point(end, text)
    return {"startLine": first[0], "startColumn": first[1], "endLine": last[0], "endColumn": last[1]}


def _point(offset: int, text: str) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
