"""JSON: one object, `files` and `findings`; the keys are documented in the README.

Lines and columns begin at 1, offsets at 0; `edits` are what fixing a finding writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from advisor.check.finding import Checked, Finding, Severity


def write(files: Sequence[Checked]) -> str:
    """The findings as JSON text."""
    return json.dumps(document(files), indent=2)


def document(files: Sequence[Checked]) -> dict[str, Any]:
    """The findings as plain data."""
    found = [finding for checked in files for finding in checked.findings]
    return {
        "files": [_file(checked) for checked in files],
        "findings": [_finding(finding) for finding in found],
        "summary": {each.value: sum(f.severity is each for f in found if f.suppressed is None) for each in Severity},
    }


def _file(checked: Checked) -> dict[str, Any]:
    said = {"unreadable": checked.unreadable} if checked.unreadable else {}
    return {"file": checked.file, "servers": checked.servers, **said}


def _finding(finding: Finding) -> dict[str, Any]:
    document: dict[str, Any] = {
        "code": finding.code,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "file": finding.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "server": finding.server,
        "message": finding.message,
        "why": finding.why,
    }
    if finding.fix:
        edits = [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in finding.fix.edits]
        document["fix"] = {"message": finding.fix.message, "edits": edits}
    if finding.suppressed is not None:
        document["suppressed"] = finding.suppressed
    return document
