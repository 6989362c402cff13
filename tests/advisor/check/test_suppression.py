"""Which findings a file asks not to be told of, and that it has to give a reason."""

from __future__ import annotations

import time

import pytest

from advisor.check.check import Checker
from advisor.check.suppression import suppressions
from tests.advisor.check.commands import GOOD, check, codes, target

RANK = GOOD.replace("--max-lora-rank 16", "--max-lora-rank 8")


@pytest.mark.parametrize(
    "text",
    [
        f"{RANK} # advisor: ignore[AD101] only rank 8 is loaded here",
        f"# advisor: ignore[AD101] only rank 8 is loaded here\n{RANK}",
        f"# advisor: ignore[AD101]: only rank 8\n# and another comment\n\n{RANK}",
        f"#advisor:ignore[AD1] none of them\n{RANK}",
        f"# advisor: ignore[AD303, adapter-rank-above-max-lora-rank] we know\n{RANK}",
        f"# Advisor: Ignore[ad101] we know\n{RANK}",
        "# advisor: ignore[AD101] about the server that begins below\n" + RANK.replace(" --", " \\\n  --"),
        f"metadata: # advisor.dev/ignore-AD101: only rank 8 is loaded here\n{RANK}",
        f"a # ---\n# 'advisor.dev/ignore-adapter-rank-above-max-lora-rank': \"only rank 8\"\n{RANK}",
    ],
)
def test_a_finding_is_ignored_with_a_reason(text: str) -> None:
    checked = check(text, target())
    assert codes(checked) == []
    (hidden,) = [finding for finding in checked.findings if finding.suppressed is not None]
    assert hidden.code == "AD101"
    assert hidden.suppressed


@pytest.mark.parametrize(
    "text",
    [
        f"{RANK} # advisor: ignore[AD102] another rule",
        f"{RANK} # advisor: ignore[AD10] ",
        f"{RANK} # advisor: ignore[AD101]",
        f"# advisor: ignore[] all\n{RANK}",
        f"{RANK}\n# advisor: ignore[AD101] below is no place for it\n",
        f"# advisor: ignore[AD101] about what follows\n\necho \\\n{RANK}",
        f"advisor: ignore[AD101] no comment\n{RANK}",
        f"# advisor.dev/ignore-AD101: of the document before\n---\n{RANK}",
    ],
)
def test_it_is_told_all_the_same_elsewhere_or_without_a_reason(text: str) -> None:
    assert "AD101" in codes(check(text, target()))


def test_a_wish_without_a_reason_is_told() -> None:
    assert codes(check(f"# advisor: ignore[AD101]\n{RANK}", target())) == ["AD001", "AD101"]
    assert codes(check(f"# advisor.dev/ignore-AD101: ''\n{RANK}", target())) == ["AD001", "AD101"]


def test_reasons_are_read_out_of_any_comment() -> None:
    annotation = '{"advisor.dev/ignore-AD3": "a, third", "x": 1}'
    text = f"<!-- advisor: ignore[AD1] a reason -->\n// advisor: ignore[AD2] another\n{annotation}"
    assert [(wish.rules, wish.reason) for wish in suppressions(text)] == [
        (("AD1",), "a reason"),
        (("AD2",), "another"),
        (("AD3",), "a, third"),
    ]


def test_thousands_of_wishes_are_followed_in_time() -> None:
    asks = "# advisor: ignore[AD101] only rank 8 is loaded here\n"
    start = time.process_time()
    checked = Checker(target()).check_text("x.sh", asks * 12_000 + (asks + RANK + "\n") * 500)
    assert checked.servers == 500
    assert not any(finding.code == "AD101" for finding in checked.standing)
    assert time.process_time() - start < 10  # 2 s on a machine of one's own; their square took minutes
