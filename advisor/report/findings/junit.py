"""JUnit XML: one test case a file, which fails with each of its errors and warnings; remarks stand in its output."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from advisor.check.finding import Checked, Finding, Severity


def write(files: Sequence[Checked]) -> str:
    """The findings as XML text."""
    failing = [[each for each in checked.standing if each.severity is not Severity.REMARK] for checked in files]
    counts = {
        "tests": str(len(files)),
        "failures": str(sum(map(len, failing))),
        "errors": str(sum(bool(checked.unreadable) for checked in files)),
    }
    root = ElementTree.Element("testsuites", {"name": "advisor check", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "advisor check", "skipped": "0", "time": "0", **counts})
    for checked, failures in zip(files, failing, strict=True):
        names = {"name": _legal(checked.file), "classname": "advisor.check", "time": "0"}
        case = ElementTree.SubElement(suite, "testcase", names)
        if checked.unreadable:
            ElementTree.SubElement(case, "error", {"message": _legal(checked.unreadable), "type": "unreadable"})
        for finding in failures:
            about = {"message": _legal(finding.message), "type": f"{finding.severity} {finding.code}"}
            ElementTree.SubElement(case, "failure", about).text = _legal(_told(finding))
        if remarks := [each for each in checked.standing if each.severity is Severity.REMARK]:
            ElementTree.SubElement(case, "system-out").text = _legal("\n".join(map(_told, remarks)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _told(finding: Finding) -> str:
    place, instead = finding.place, f"; instead: {finding.fix.message}" if finding.fix else ""
    return (
        f"{finding.file}:{place.line}:{place.column}: {finding.severity} {finding.code}: {finding.message} "
        f"({finding.why}){instead}"
    )


def _legal(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return "".join(
        each
        if each in "\t\n\r" or ((each >= " " and not "\ud800" <= each <= "\udfff") and each not in "\ufffe\uffff")
        else "\ufffd"
        for each in text
    )
