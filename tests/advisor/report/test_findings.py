"""The formats of findings, each read by what it is made for."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.check.finding import Checked, Edit, Finding, Fix, Severity
from advisor.check.rules import RULES
from advisor.deploy.deployment import Place
from advisor.report.findings import Format, sarif, text, write
from tests.advisor.check.commands import GOOD, check, target
from tests.schemas import schema

BAD = GOOD.replace("--max-lora-rank 16", "--max-lora-rank 8").replace("--max-loras 32", "--max-loras 64")
BROKEN = Checked("charts/x.yaml", "", 0, (), "charts/x.yaml: a Helm template: render it first")


def finding(path: str, message: str, start: int, end: int, severity: Severity = Severity.ERROR) -> Finding:
    fix = Fix(f"write {message}", (Edit(start, end, message),))
    return Finding(
        "AD101", RULES["AD101"].name, severity, message, path, Place(1, start + 1, start, end), "s", "why", fix
    )


def test_text_is_as_compilers_write_it() -> None:
    shown = text.write([check(BAD, target()), BROKEN])
    where = BAD.index("--max-lora-rank 8") + len("--max-lora-rank ")
    assert f"run.sh:1:{where + 1}: error: adapter rank 16 above --max-lora-rank 8 [AD101]" in shown
    _, line, caret, why, instead = next(block for block in shown.split("\n\n") if "AD101" in block).splitlines()
    assert line[caret.index("^")] == "8"
    assert caret.count("^") == 1
    assert "32 of the inventory's 64 adapters" in why
    assert instead.endswith("instead: --max-lora-rank 16 (fixable)")
    assert shown.splitlines()[-1] == "1 error, 1 remark: 1 vLLM server in 1 file"
    assert "\033" not in shown
    assert "\033[1;31m" in text.write([check(BAD, target())], colour=True)


def test_text_keeps_the_caret_below_its_value_in_long_and_in_wide_lines() -> None:
    for before in ("x" * 1000, "汉字" * 40, "\t\t", "e\N{COMBINING ACUTE ACCENT}" * 5):
        source = f"{before}--rank=8{'y' * 1000}"
        start = source.index("8")
        checked = Checked("a", source, 1, (finding("a", "m", start, start + 1),))
        line, caret = text.write([checked]).splitlines()[1:3]
        from rich.cells import cell_len

        assert line.replace("\t", " ")[_index(line, cell_len(caret.rstrip("^")))] == "8"
        assert len(line) < 400


def _index(line: str, columns: int) -> int:
    from rich.cells import cell_len

    return next(i for i in range(len(line) + 1) if cell_len(line[:i]) >= columns and line[i] == "8")


def test_a_file_cannot_steer_the_terminal() -> None:
    source = "\033[2J --max-lora-rank=8"
    checked = Checked("a\n\033[31m.sh", source, 1, (finding("a\n\033[31m.sh", "m\033[0m\nx", 0, 3),))
    shown = text.write([checked])
    assert "\033" not in shown
    assert shown.splitlines()[0].endswith("m\\x1b[0m\\nx [AD101]")


def test_json_has_the_documented_keys() -> None:
    document = json.loads(write([check(BAD, target()), BROKEN], Format.JSON))
    assert document["files"] == [
        {"file": "run.sh", "servers": 1},
        {"file": "charts/x.yaml", "servers": 0, "unreadable": BROKEN.unreadable},
    ]
    assert document["summary"] == {"error": 1, "warning": 0, "remark": 1}
    found = next(each for each in document["findings"] if each["code"] == "AD101")
    assert list(found) == ["code", "rule", "severity", "file", "line", "column", "server", "message", "why", "fix"]
    (edit,) = found["fix"]["edits"]
    assert (BAD[edit["start"] : edit["end"]], edit["text"]) == ("8", "16")


def test_sarif_keeps_its_schema_and_carries_rules_fixes_and_reasons() -> None:
    ignored = check(f"{BAD} # advisor: ignore[AD101] only rank 8 is loaded", target())
    document = json.loads(write([check(BAD, target()), ignored, BROKEN, check(GOOD)], Format.SARIF))
    jsonschema.validate(document, schema("sarif-2.1.0.json"))
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    ranks = [result for result in run["results"] if result["ruleId"] == "AD101"]
    assert [result.get("suppressions") for result in ranks] == [
        None,
        [{"kind": "inSource", "justification": "only rank 8 is loaded"}],
    ]
    (change,) = ranks[0]["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"] == {"text": "16"}
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"] == BROKEN.unreadable


def test_github_annotations_stand_one_a_line() -> None:
    path = "a,b:c.sh"
    checked = Checked(
        path, "x\ny", 1, (finding(path, "100 % wrong\nreally", 0, 1), finding(path, "m", 0, 1, Severity.REMARK))
    )
    error, notice = write([checked], Format.GITHUB).splitlines()
    assert error.startswith("::error file=a%2Cb%3Ac.sh,line=1,col=1,title=AD101 ")
    assert "100 %25 wrong%0Areally" in error
    assert notice.startswith("::notice ")
    assert write([BROKEN], Format.GITHUB) == f"::error file=charts/x.yaml::{BROKEN.unreadable}"


def test_junit_fails_a_file_for_each_finding_above_a_remark() -> None:
    root = ElementTree.fromstring(write([check(BAD, target()), check(GOOD), BROKEN], Format.JUNIT))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    bad, good, broken = suite
    assert [each.tag for each in bad] == ["failure", "system-out"]
    assert (bad[0].get("type"), list(good)) == ("error AD101", [])
    assert broken[0].get("message") == BROKEN.unreadable


@settings(max_examples=200, deadline=None)
@given(path=st.text(min_size=1), message=st.text(), source=st.text(), cut=st.tuples(st.integers(0), st.integers(0)))
def test_nothing_that_stands_in_a_file_breaks_a_format(
    path: str, message: str, source: str, cut: tuple[int, int]
) -> None:
    start, end = sorted(each % (len(source) + 1) for each in cut)
    checked = Checked(path, source, 1, (finding(path, message, start, end),), "")
    assert not {"\n", "\r"} & set(write([checked], Format.GITHUB))
    assert len(list(ElementTree.fromstring(write([checked], Format.JUNIT)).iter("failure"))) == 1
    region = sarif.document([checked])["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert min(region.values()) >= 1
    json.loads(write([checked], Format.JSON))
    assert all(each.isprintable() or each in "\n\t" for each in text.write([checked]))


@pytest.mark.parametrize("form", list(Format))
def test_no_file_and_no_finding_is_an_answer_too(form: Format) -> None:
    for files in ([], [check(GOOD)]):
        shown = write(files, form)
        assert form is Format.GITHUB or shown
        if form is Format.SARIF:
            jsonschema.validate(json.loads(shown), schema("sarif-2.1.0.json"))
        assert not re.search(r"AD\d{3}", shown)
