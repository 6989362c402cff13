"""GitHub annotations: one workflow command a finding."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.check.finding import Checked, Finding, Severity

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.REMARK: "notice"}


def write(files: Sequence[Checked]) -> str:
    """The findings, one a line; what cannot be read is an error of its file."""
    lines = [f"::error file={_property(each.file)}::{_data(each.unreadable)}" for each in files if each.unreadable]
    return "\n".join([*lines, *(_line(finding) for each in files for finding in each.standing)])


def _line(finding: Finding) -> str:
    place, said = finding.place, [finding.message, finding.why, finding.fix and f"Instead: {finding.fix.message}"]
    return (
        f"::{COMMANDS[finding.severity]} file={_property(finding.file)},line={place.line},col={place.column},"
        f"title={_property(f'{finding.code} {finding.rule}')}::" + _data("\n".join(each for each in said if each))
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
