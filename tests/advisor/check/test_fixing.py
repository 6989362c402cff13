"""What `--fix` writes, and that nothing else of a file changes."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.check.check import Checker
from advisor.check.finding import Edit, Finding, Fix, Severity, apply
from advisor.check.fixing import Fixed, fix, sure
from advisor.deploy.deployment import Place
from advisor.recommend.recommend import recommend
from tests.advisor.check.commands import INVENTORY, MODEL, codes, target

CHECKER = Checker(target())
RECOMMENDED = recommend(target().inventory, target().pair, target().objective).flags["max_loras"]
"""Slots for the inventory of these tests."""


def fixed(text: str, file: str = "deploy.yaml") -> Fixed:
    """A file, read, judged and mended."""
    return fix(CHECKER.check_text(file, text), CHECKER)


def manifest(args: list[str], comment: str = "") -> str:
    """A Deployment with these items under its arguments, as they are written."""
    items = "".join(f"            - {item}\n" for item in args)
    return f"""\
apiVersion: apps/v1
kind: Deployment   # {comment}
metadata: {{name: "engine", labels: {{rank: '8', max-loras: "1"}}}}
spec:
  template:
    spec:
      containers:
        - name: engine
          image: "vllm/vllm-openai:v0.8.5"
          args:
            - --model={MODEL}
            - '--enable-lora'
{items}          ports: [ {{containerPort:   8000}} ]
"""


def test_values_are_written_where_they_stand() -> None:
    before = manifest(["--max-loras=1   # one", '"--max-cpu-loras"', '"16"', "'--max-lora-rank=8'"], "8 is 8")
    after = fixed(before)
    wanted = (
        before.replace("--max-loras=1 ", f"--max-loras={RECOMMENDED} ")
        .replace('"16"', '"64"')
        .replace("rank=8'", "rank=16'")
    )
    assert after.after.text == wanted
    assert codes(after.after) == []
    changed = [line for line in after.diff().splitlines()[2:] if line[0] in "-+"]
    assert sorted(line[0] for line in changed) == ["+"] * 3 + ["-"] * 3


def test_what_is_missing_is_written_behind_the_others_in_their_style() -> None:
    before = manifest(["--max-cpu-loras=64"])
    after = fixed(before).after
    assert codes(after) == []
    (line,) = [line for line in after.text.splitlines() if line not in before.splitlines()]
    assert line.strip() in (f"- --max-loras={RECOMMENDED}", f"- '--max-loras={RECOMMENDED}'")


def test_variables_templates_and_remarks_are_left_alone() -> None:
    for args in (["--max-loras=$SLOTS", "--max-cpu-loras=64"], ["--max-loras=64", "--max-cpu-loras=64"]):
        assert not fixed(manifest(args)).changed


def test_what_a_change_brings_up_is_mended_with_it() -> None:
    wide = Checker(target(INVENTORY.replace("rank = 16", "rank = 100")))
    before = manifest(["--max-loras=32", "--max-cpu-loras=64", "--max-lora-rank=12"])
    told = wide.check_text("deploy.yaml", before)
    assert {"AD101", "AD102"} <= set(codes(told))
    after = fix(told, wide)
    assert "--max-lora-rank=128" in after.after.text
    assert not {"AD101", "AD102", "AD104"} & set(codes(after.after))
    assert not after.withheld


def test_what_is_to_be_ignored_is_not_mended() -> None:
    text = manifest(["--max-loras=32", "--max-cpu-loras=64", "--max-lora-rank=8   # advisor: ignore[AD101] only these"])
    assert not fixed(text).changed


def test_two_servers_are_mended_each_in_its_place() -> None:
    rank = ["--max-loras=32", "--max-cpu-loras=64", "--max-lora-rank=8"]
    slots = ["--max-loras=2", "--max-cpu-loras=64"]
    before = "---\n".join([manifest(rank), manifest(slots).replace("engine", "other"), "kind: ConfigMap\n"])
    told = CHECKER.check_text("deploy.yaml", before).standing
    assert [each.message.split(":")[0] for each in told] == ["engine", "other"]
    wanted = before.replace("--max-lora-rank=8", "--max-lora-rank=16").replace(
        "--max-loras=2\n", f"--max-loras={RECOMMENDED}\n"
    )
    assert fixed(before).after.text == wanted


def test_line_ends_and_the_end_of_the_file_stay() -> None:
    before = manifest(["--max-loras=32", "--max-cpu-loras=64", "--max-lora-rank=8"]).rstrip("\n")
    for text in (before, before.replace("\n", "\r\n"), f"{before}\n\n\n", f"{before}   \n# end"):
        assert fixed(text).after.text == text.replace("rank=8", "rank=16")
    assert (
        "No newline at end of file"
        in fixed(before.replace("          ports: [ {containerPort:   8000} ]", "").rstrip()).diff()
    )


flags = st.fixed_dictionaries(
    {},
    optional={
        "--max-loras": st.sampled_from([1, 2, 8, 20, 64, 70]),
        "--max-cpu-loras": st.sampled_from([1, 16, 64, 100]),
        "--max-lora-rank": st.sampled_from([8, 16, 24, 64, 512]),
        "--max-model-len": st.sampled_from([512, 8192, 131072]),
        "--max-num-seqs": st.sampled_from([64, 512]),
    },
)
quotes = st.sampled_from(["", '"', "'"])
comments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029\ufeff"), max_size=20
)


LEFT_OUT = """\
[[adapters]]
name = "huge"
count = 2
rank = 128
rate = 0.15
"""
"""Adapters that one GPU serves none of beside the others: their slots would be too large for all."""
INVENTORIES = {
    "all are served": INVENTORY,
    "large ones are left out": INVENTORY.replace("count = 32", "count = 60").replace("0.05", "0.12") + LEFT_OUT,
    "most are left out": INVENTORY.replace("h100-64gb", "l4") + LEFT_OUT,
    "a fixed longest sequence": INVENTORY + "[fixed]\nmax_model_len = 8192\n",
}
mistaken = st.fixed_dictionaries(
    {"--max-loras": st.sampled_from([1, 2, 8, 20, 40, 64, 200])},
    optional={
        "--max-cpu-loras": st.sampled_from([1, 16, 64, 100, 200]),
        "--max-lora-rank": st.sampled_from([8, 16, 24, 64, 128, 512]),
        "--max-model-len": st.sampled_from([131072]),
    },
)


@pytest.mark.parametrize("inventory", INVENTORIES.values(), ids=INVENTORIES)
@settings(max_examples=25, deadline=None)
@given(given=mistaken)
def test_all_fixes_are_of_one_recommendation(inventory: str, given: dict[str, int]) -> None:
    """No two fixes write different things in one place, and with all of them nothing is left but the limit."""
    against = target(inventory)
    checker = Checker(against)
    told = checker.check_text("deploy.yaml", manifest([f"{flag}={value}" for flag, value in given.items()]))
    written: dict[tuple[int, int], str] = {}
    for edit in (edit for each in told.standing if each.fix for edit in each.fix.edits):
        if edit.start < edit.end:
            assert written.setdefault((edit.start, edit.end), edit.text) == edit.text, told.standing
    mended = fix(told, checker)
    beyond = ["AD202"] if against.recommendation.admission.rejected else []
    assert codes(mended.after) == beyond, (mended.after.text, mended.after.standing)
    assert not mended.withheld


def test_who_is_left_out_is_named() -> None:
    """Adapters that belong elsewhere are told so; the slots are no matter of theirs."""
    against = target(INVENTORIES["large ones are left out"])
    checked = Checker(against).check_text("deploy.yaml", manifest(["--max-loras=64", "--max-lora-rank=16"]))
    assert against.recommendation.admission.rejected == ("huge-0", "huge-1")
    (limit,) = (each for each in checked.standing if each.code == "AD202")
    assert limit.fix is not None
    assert limit.fix.message == "serve 2 adapters elsewhere: huge-0, huge-1"
    assert "AD101" not in codes(checked)


@settings(max_examples=60, deadline=None)
@given(given=flags, apart=st.lists(st.booleans(), min_size=5, max_size=5), quote=quotes, comment=comments)
def test_nothing_else_changes_by_a_byte(given: dict[str, int], apart: list[bool], quote: str, comment: str) -> None:
    """But for the numbers of settings the text is the same, or has lines more; and it is never worse than before."""
    pairs = (
        [f"{quote}{flag}{quote}", f'"{value}"'] if two else [f"{quote}{flag}={value}{quote}   # {comment}"]
        for (flag, value), two in zip(given.items(), apart, strict=False)
    )
    before = manifest(list(chain(*pairs)), comment)
    result = fixed(before)
    assert len(codes(result.after)) <= len(codes(result.before))
    old, new = before.splitlines(), result.after.text.splitlines()
    added = [line for line in new if line not in old and "LINE" not in line]
    kept = iter(new)
    for line in old:
        shape = re.sub(r"\d+", "0", line)
        assert any(re.sub(r"\d+", "0", each) == shape for each in kept), line
    for line in added:
        assert re.fullmatch(r"\s+- [\"']?(--max-[a-z-]+=)?\d+[\"']?(\s+# .*)?|\s+- [\"']?--max-[a-z-]+[\"']?", line), (
            line
        )
    again = fix(result.after, CHECKER)
    assert not again.changed


def finding(*edits: Edit, severity: Severity = Severity.ERROR) -> Finding:
    return Finding("AD101", "x", severity, "m", "f", Place(1, 1, 0, 0), fix=Fix("x", edits))


def test_edits_of_one_finding_are_made_together_or_not_at_all() -> None:
    both = finding(Edit(0, 1, "x"), Edit(5, 6, "y"))
    across = finding(Edit(3, 6, "z"), Edit(8, 9, "w"), severity=Severity.WARNING)
    assert sure([across, both]) == [Edit(0, 1, "x"), Edit(5, 6, "y")]
    assert sure([finding(Edit(0, 1, "x")), finding(Edit(0, 1, "x"))]) == [Edit(0, 1, "x")]
    assert sure([finding(Edit(0, 1, "x"), severity=Severity.REMARK)]) == []


@given(text=st.text(), cuts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.text(max_size=3)), max_size=5))
def test_edits_change_their_stretches_alone(text: str, cuts: list[tuple[int, int, str]]) -> None:
    edits = [Edit(min(at, len(text)), min(at + wide, len(text)), new) for at, wide, new in cuts]
    kept = sure([finding(edit) for edit in edits])
    at, expected = 0, ""
    for edit in sorted(kept, key=lambda each: each.start):
        expected += text[at : edit.start] + edit.text
        at = edit.end
    assert apply(text, kept) == expected + text[at:]


@pytest.mark.parametrize("name", ["values.yaml", "docker-compose.yaml"])
def test_defaults_of_variables_are_mended_as_such(name: str) -> None:
    before = f"""\
services:
  engine:
    image: vllm/vllm-openai:v0.8.5
    command:
      - --model={MODEL}
      - --enable-lora
      - --max-loras=${{SLOTS:-32}}
      - --max-cpu-loras=${{HOST_SLOTS:-64}}
      - --max-lora-rank=${{RANK:-8}}   # override in .env
"""
    assert fixed(before, name).after.text == before.replace("${RANK:-8}", "${RANK:-16}")


def test_a_variable_of_two_settings_is_nobodys_to_change() -> None:
    command = f"vllm serve {MODEL} --enable-lora --max-cpu-loras 64 --max-loras $N"
    alone = fixed(f"N=2\n{command}\n", "serve.sh")
    assert alone.after.text == f"N={RECOMMENDED}\n{command}\n"
    both = fixed(f"N=2\n{command} --max-num-seqs $N\n", "serve.sh")
    assert codes(both.before) == ["AD201"]
    assert not both.changed
