"""What each rule finds, where, and what it leaves alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from advisor import deploy
from advisor.check.check import Checker
from advisor.check.finding import Finding, Severity
from advisor.check.rules import RULES
from advisor.check.server import SETTINGS
from advisor.check.spellings import PROBLEMS
from advisor.deploy.arguments.spellings import setting
from advisor.deploy.deployment import Adapter, Flag, Place, Problem, Value
from advisor.deploy.vllm_version import SINCE
from advisor.recommend.recommend import recommend
from tests.advisor.check.commands import GOOD, INVENTORY, MODEL, check, codes, read, target

SERVE = f"vllm serve {MODEL}"
ON = f"{SERVE} --enable-lora"
RECOMMENDED = recommend(target().inventory, target().pair, target().objective).flags["max_loras"]
"""Slots for the inventory of these tests."""


def only(text: str, code: str, *, inventory: str | None = INVENTORY, **changes: Any) -> Finding:
    """The one finding of this rule."""
    checked = check(text, target(inventory) if inventory else None, **changes)
    (found,) = [finding for finding in checked.findings if finding.code == code]
    return found


def stands(text: str, finding: Finding) -> str:
    """The text at the place of a finding."""
    return text[finding.place.start : finding.place.end]


def test_a_good_server_has_nothing_above_a_remark() -> None:
    assert codes(check(GOOD, target())) == []
    assert check(GOOD).findings == ()


@pytest.mark.parametrize(
    ("command", "code", "at", "fixed"),
    [
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-lora-rank 8", "AD101", "8", "16"),
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-lora-rank 24", "AD102", "24", "16"),
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-lora-rank 1664", "AD102", "1664", "16"),
        (f"{ON} --max-loras 32 --max-cpu-loras=24", "AD103", "24", "64"),
        (f"{ON} --max-loras 64 --max-cpu-loras 64 --max-lora-rank 64", "AD104", "64", "16"),
        (f"{ON} --max-loras 2 --max-cpu-loras 64", "AD201", "2", str(RECOMMENDED)),
        (f"{ON} --max-loras 32 --max-cpu-loras 48", "AD203", "48", "64"),
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-model-len 1k", "AD204", "1k", "2048"),
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-lora-rank 32", "AD301", "32", "16"),
        (f"{ON} --max-loras 70 --max-cpu-loras 70", "AD302", "70", str(RECOMMENDED)),
        (f"{ON} --max-loras 32 --max-cpu-loras 64 --max-model-len 200000", "AD108", "200000", "131072"),
        (f"{ON} --max-loras 700 --max-cpu-loras 700 --max-lora-rank 256", "AD109", "256", "16"),
    ],
)
def test_it_says_where_and_what_to_write_instead(command: str, code: str, at: str, fixed: str) -> None:
    found = only(command, code)
    assert stands(command, found) == at
    assert found.fix is not None
    (edit,) = found.fix.edits
    assert (command[edit.start : edit.end], edit.text) == (at, fixed)
    assert at in found.message or "1000" in found.message
    assert found.why


def test_the_default_of_a_setting_is_judged_where_lora_is_turned_on() -> None:
    found = only(f"{ON} --max-cpu-loras 64", "AD201")
    assert "not set" in found.message
    assert "1 slot for 64 adapters" in found.message
    assert stands(f"{ON} --max-cpu-loras 64", found) == "--enable-lora"
    larger = INVENTORY.replace("rank = 16", "rank = 32")
    assert (
        "max_lora_rank 16 (not set"
        in only(f"{ON} --max-loras 32 --max-cpu-loras 64", "AD101", inventory=larger).message
    )


def test_what_a_wrapper_passes_on_by_itself_is_no_default_of_vllm() -> None:
    few = INVENTORY.replace("count = 32", "count = 8")
    assert "AD201" in codes(check(f"{ON} --max-cpu-loras 64", target(few)))
    assert "AD201" not in codes(check(f"{ON} --max-cpu-loras 64", target(few), defaults={"max_loras": "4"}))
    assert "AD105" in codes(check(f"{SERVE} --max-loras 4", target(few)))
    assert "AD105" not in codes(check(f"{SERVE} --max-loras 4", target(few), defaults={"enable_lora": "true"}))


@pytest.mark.parametrize(("slots", "severity"), [(1, "error"), (4, "error"), (8, "warning"), (10, None), (64, None)])
def test_slots_are_judged_by_what_the_models_expect(slots: int, severity: str | None) -> None:
    found = [
        each
        for each in check(f"{ON} --max-loras {slots} --max-cpu-loras 64", target()).findings
        if each.code == "AD201"
    ]
    assert [each.severity for each in found] == ([severity] if severity else [])
    for each in found:
        assert re.search(
            rf"expected [\d,]+ tokens/s, [\d.]+ s to the first token.* recommended {RECOMMENDED} slots 1,00\d tokens/s",
            each.why,
        )


def test_more_than_one_gpu_serves_is_told_whatever_the_slots() -> None:
    many = INVENTORY.replace("count = 32", "count = 500")
    found = only(f"{ON} --max-loras 64 --max-cpu-loras 1000", "AD202", inventory=many)
    assert found.severity is Severity.ERROR
    assert "1,000 adapters" in found.message
    assert found.fix is not None
    assert not found.fix.edits


def test_memory_is_told_with_its_numbers_and_slots_go_where_ranks_are_needed() -> None:
    command = f"{ON} --max-loras 64 --max-cpu-loras 64 --max-lora-rank 64"
    found = only(command, "AD104")
    assert "64 slots of rank 64 leave a KV cache of about 124,256 tokens" in found.message
    assert "131,072" in found.message
    large = INVENTORY.replace("rank = 16", "rank = 64")
    found = only(command, "AD104", inventory=large)
    assert stands(command, found) == "64"
    assert command[: found.place.start].endswith("--max-loras ")
    assert "AD104" not in codes(check(f"{command} --max-model-len 8192", target(large)))
    short = only(f"{ON} --max-loras 64 --max-lora-rank 64 --max-cpu-loras 64 --gpu-memory-utilization=0.3", "AD104")
    assert "do not fit into the GPU's memory" in short.message


@pytest.mark.parametrize("more", ["", "--max-num-batched-tokens 512", "--max-cpu-loras 2"])
def test_starving_is_told_whatever_else_is_wrong(more: str) -> None:
    assert "AD201" in codes(check(f"{ON} --max-loras 2 {more}", target()))


def test_a_long_context_that_costs_slots_is_told() -> None:
    large = INVENTORY.replace("rank = 16", "rank = 128").replace("rank = 8", "rank = 128").replace("0.05", "0.1")
    settings = "--max-loras 12 --max-cpu-loras 64 --max-lora-rank 128"
    found = only(f"{ON} {settings}", "AD304", inventory=large)
    assert "131,072" in found.message
    assert found.severity is Severity.WARNING
    assert "AD304" not in codes(check(f"{ON} {settings} --max-model-len 3072", target(large)))
    assert "AD304" not in codes(check(GOOD, target()))


def test_a_context_is_long_by_what_requests_need_not_by_what_memory_allows() -> None:
    """On a small GPU a length is recommended that is much longer than requests need; one that costs slots is told."""
    small = f"""
        model = "{MODEL}"
        gpu = "rtx-4090"
        lengths = {{ input = {{ mean = 223, std = 191 }}, output = {{ mean = 196, std = 181 }} }}
        [[adapters]]
        name = "a"
        count = 8
        rank = 16
        rate = 0.05
    """
    settings = "--max-loras 1 --max-cpu-loras 8 --max-lora-rank 16"
    found = only(f"{ON} {settings} --max-model-len 31500", "AD304", inventory=small)
    assert "your requests fit into 3,072 tokens" in found.why
    assert found.fix is not None and "21504" in found.fix.message


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"{SERVE} --max-loras 4", "AD105"),
        (f"{SERVE} --no-enable-lora --max-loras 4", "AD105"),
        (f"{SERVE}", "AD105"),
        (f"{ON} --max-num-seqs 128k", "AD106"),
        (f"{ON} --max-loras 0", "AD106"),
        (f"{ON} --max-loras 0 --max-lora-rank 16 --max-cpu-loras 64", "AD106"),
        (f"{ON} --gpu-memory-utilization 1.5", "AD106"),
        (f"{ON} --max-num-seqs 1024 --max-num-batched-tokens 512", "AD107"),
        (f"{ON}=true", "AD114"),
        (f"{ON} --max-lora 3", "AD117"),
        (f"{ON} --max-lorras 3", "AD118"),
        (f"{ON} --config=/etc/engine.yaml", "AD112"),
        (f"{ON} --lora-modules a=/a,b=/b", "AD113"),
        (f"{ON} --max-loras", "AD122"),
        (f"{ON} --max-loras 4 stray", "AD123"),
    ],
)
def test_what_does_not_start(command: str, code: str) -> None:
    found = only(command, code)
    assert found.severity is Severity.ERROR
    assert found.rule == RULES[code].name


def test_nothing_is_guessed_of_servers_that_are_no_business_of_the_inventory() -> None:
    assert check("vllm serve Qwen/Qwen3-Embedding-0.6B --max-model-len 8192", target()).findings == ()
    found = check("vllm serve Qwen/Qwen2.5-7B-Instruct --enable-lora --max-loras 1", target())
    assert codes(found) == ["AD401"]
    assert codes(check("vllm serve /models/llama --enable-lora --max-loras 1", target())) != ["AD401"]
    assert codes(check(GOOD.replace(MODEL, "hf://meta-llama/Llama-3.1-8B-Instruct"), target())) == []


def test_of_a_part_only_what_it_holds_is_judged() -> None:
    part = f"{SERVE} --max-loras 1"
    assert check(part, target(), partial=True).findings == ()
    assert "AD301" in codes(check(f"{SERVE} --max-lora-rank 32", target(), partial=True))
    assert codes(check(f"{SERVE} --max-lora-rank 8", target(), partial=True)) == ["AD101"]


def test_a_setting_behind_a_mistake_is_not_missing() -> None:
    """What is wrong is told once, not again as the default that it leaves."""
    assert codes(check(f"{ON} --max-cpu-loras 64 --max-lorass=32", target())) == ["AD118"]


def at(line: int = 1, start: int = 0, end: int = 0) -> Place:
    return Place(line, start + 1, start, end)


def test_what_cannot_be_known_is_said_and_not_judged() -> None:
    (server,) = read(f"{ON} --max-loras 1 --max-cpu-loras 64")
    hidden = Flag("max_loras", Value(None, at(), "$SLOTS"), "--max-loras", at())
    flags = tuple(each for each in server.flags if each.name != "max_loras")
    checked = check(f"{ON} --max-loras 1 --max-cpu-loras 64", target(), flags=(*flags, hidden))
    assert [finding.code for finding in checked.findings] == ["AD501"]
    assert "$SLOTS" in checked.findings[0].message
    assert checked.findings[0].severity is Severity.REMARK


def test_a_default_of_a_variable_says_whose_it_is() -> None:
    rank = Flag("max_lora_rank", Value("8", at(), "${RANK:-8}"), "--max-lora-rank", at())
    (server,) = read(GOOD)
    message = only(GOOD, "AD101", flags=(*server.flags, rank)).message
    assert "the default of ${RANK:-8}" in message


@pytest.mark.parametrize(
    ("gpu", "found"),
    [
        *((each, []) for each in ("H100", "nvidia-h100-80gb-hbm3", "nvidia-gpu-h100:1", "GPU", "gpu-large")),
        *((each, ["AD402"]) for each in ("A100", "nvidia-l4:1", "H200", "a100-80gb")),
    ],
)
def test_another_gpu_is_told_and_memory_not_judged(gpu: str, found: list[str]) -> None:
    assert codes(check(GOOD, target(), gpu=Value(gpu, at()))) == found
    starving = GOOD.replace("--max-loras 32", "--max-loras 1")
    assert codes(check(starving, target(), gpu=Value(gpu, at()))) == (found or ["AD201"])


def test_adapters_are_compared_by_name() -> None:
    known = (Adapter("legal-0", None, at()), Adapter("support-3", None, at()))
    checked = check(GOOD, target(), adapters=known)
    assert codes(checked) == []
    assert "62 of the inventory's adapters" in next(each.message for each in checked.findings if each.code == "AD403")
    assert codes(check(GOOD, target(), adapters=(*known, Adapter("other", None, at())))) == ["AD403"]


def test_rays_two_numbers() -> None:
    def ray(slots: str, adapters: int) -> list[str]:
        number = Flag("max_num_adapters_per_replica", Value(str(adapters), at()), "max_num_adapters_per_replica", at())
        (server,) = read(f"{ON} {slots}")
        checked = check(f"{ON} {slots}", None, flags=(*server.flags, number))
        return [f"{each.code} {each.severity}" for each in checked.findings]

    assert ray("--max-loras 16", 16) == []
    assert ray("", 16) == ["AD404 error"]
    assert ray("--max-loras 8", 16) == ["AD404 error"]
    assert ray("--max-loras 16", 8) == ["AD404 warning"]


def test_slots_that_are_not_set_for_several_adapters_are_told_without_an_inventory() -> None:
    two = (Adapter("a", None, at()), Adapter("b", None, at()))
    assert codes(check(ON, adapters=two)) == ["AD405"]
    assert codes(check(ON, adapters=two[:1])) == []
    assert codes(check(ON, adapters=two, defaults={"max_loras": "4"})) == []


def test_loading_at_run_time_needs_its_switch() -> None:
    switch = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
    chart = {"loader": Value("loraAdapters", at())}
    folder = {"VLLM_LORA_RESOLVER_CACHE_DIR": Value("/adapters", at())}
    for changes in (
        chart,
        {"environment": folder},
        {"environment": {"VLLM_PLUGINS": Value("lora_filesystem_resolver", at())}},
    ):
        assert codes(check(GOOD, target(), **changes)) == ["AD406"]
        environment = changes.get("environment", {})
        for text, found in (("True", []), ("1", []), ("false", ["AD406"])):
            allowed = {**changes, "environment": {**environment, switch: Value(text, at())}}  # type: ignore[dict-item]
            assert codes(check(GOOD, target(), **allowed)) == found
    assert codes(check(GOOD, target(), adapters=(Adapter("legal-0", "org/legal-0", at()),))) == []
    come_and_go = target(INVENTORY.replace("[lengths]", "dynamic = true\n\n[lengths]"))
    assert codes(check(GOOD, come_and_go)) == ["AD406"]


@pytest.mark.parametrize(
    ("count", "found"), [(7, []), (8, ["AD407 warning"]), (16, ["AD407 warning"]), (17, ["AD407 error"])]
)
def test_routes_of_kserve_are_bounded(count: int, found: list[str]) -> None:
    adapters = tuple(Adapter(f"legal-{i}", None, at()) for i in range(count))
    checked = check(GOOD, None, kind="KServe LLMInferenceService", adapters=adapters)
    assert [f"{each.code} {each.severity}" for each in checked.findings] == found
    regex = f"{GOOD} # serving.kserve.io/lora-model-routing-strategy: regex"
    assert check(regex, None, kind="KServe LLMInferenceService", adapters=adapters).findings == ()


@pytest.mark.parametrize(
    ("flag", "last", "first"),  # in the sources of the releases
    [
        ("--lora-target-modules q_proj", "0.18.1", "0.19.0"),
        ("--specialize-active-lora", "0.14.1", "0.16.0"),
        ("--enable-log-requests", "0.10.0", "0.10.1"),
        ("--max-num-queued-reqs 8", "0.28.0", "0.29.0"),
        ("--api-key x", None, "0.8.0"),
    ],
)
def test_a_flag_is_there_from_its_first_release_on(flag: str, last: str | None, first: str) -> None:
    assert "AD408" not in codes(check(f"{GOOD} {flag}", None, vllm=first))
    assert last is None or "AD408" in codes(check(f"{GOOD} {flag}", None, vllm=last))


def test_no_flag_is_written_for_a_version_without_it() -> None:
    for name, first in SINCE.items():
        spelling = setting(name)
        assert spelling is not None
        assert Version(spelling.absent) < Version(first)


def test_an_image_older_than_a_flag() -> None:
    command = f"{GOOD} --async-scheduling"
    old = Value("vllm/vllm-openai:v0.8.5", at())
    assert "AD408" in codes(check(command, target(), image=old))
    assert "AD408" in codes(check(command, target(), vllm="0.9.0"))
    assert codes(check(command, target(), image=Value("vllm/vllm-openai:v0.24.0", at()))) == []
    for image in (
        "runpod/worker-v1-vllm:v0.8.5",
        "nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.5",
        "vllm/vllm-openai:latest",
    ):
        assert codes(check(command, target(), image=Value(image, at()))) == []


def test_a_flag_that_a_newer_vllm_may_know_is_a_remark() -> None:
    command = f"{GOOD} --brand-new-switch"
    assert codes(check(command, target(), vllm="0.32.1")) == ["AD118"]
    assert codes(check(command, target(), vllm="0.40")) == []


def test_another_version_than_the_models_is_a_remark() -> None:
    newer = check(GOOD, target(), vllm="0.33")
    assert "AD503" in [each.code for each in newer.findings]
    assert codes(newer) == []
    assert "AD503" not in [each.code for each in check(GOOD, target(), vllm="0.8.4").findings]


def test_of_a_setting_given_twice_the_last_counts_and_is_named() -> None:
    command = f"{ON} --max-loras 32 --max-cpu-loras 64 --max-loras 1"
    assert "given 2 times, the last counts" in only(command, "AD201").message
    assert stands(command, only(command, "AD201")) == "1"
    assert stands(command, only(command, "AD502")) == "--max-loras"
    assert codes(check(f"{ON} --max-loras 1 --max-cpu-loras 64 --max-loras 32", target())) == []


def test_every_problem_that_a_reader_may_find_has_its_rule() -> None:
    for name, rule in PROBLEMS.items():
        checked = check(GOOD, None, problems=(Problem(name, "what is wrong", at()),))
        assert [(each.code, each.message) for each in checked.findings] == [(rule.code, "what is wrong")]
    unheard = check(GOOD, None, problems=(Problem("unheard-of", "what is wrong", at()),))
    assert codes(unheard) == ["AD199"]


def test_codes_and_names_are_unique_and_every_rule_has_its_page() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    for code, rule in RULES.items():
        assert re.fullmatch(r"AD\d{3}", code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
        assert rule.title.endswith(".")
        assert len(rule.explanation.split()) > 15
        assert rule.reason


names = st.sampled_from([*SETTINGS, "enable_lora", "lora_modules", "max_num_adapters_per_replica"])
texts = (
    st.none()
    | st.sampled_from(["0", "1", "8", "16", "64", "1664", "99999999999", "-3", "auto", "128k", "1e9", "0.9", "true"])
    | st.text(max_size=6)
)


@settings(max_examples=300, deadline=None)
@given(flags=st.lists(st.tuples(names, texts), max_size=8), partial=st.booleans(), inventory=st.booleans())
def test_no_deployment_breaks_a_rule(flags: list[tuple[str, str | None]], partial: bool, inventory: bool) -> None:
    found = tuple(Flag(name, Value(text, at(), "" if text else "$X"), name, at()) for name, text in flags)
    checked = check(SERVE, target() if inventory else None, flags=found, partial=partial)
    assert all(each.message and each.code in RULES for each in checked.findings)


def test_what_a_script_is_called_with_is_told_where_something_hinges_on_it() -> None:
    for command, found in ((GOOD, []), (f"{ON} --max-cpu-loras 64", ["AD504"])):
        script = f'#!/bin/sh\nexec {command} "$@"\n'
        checked = Checker(target()).check_text("serve.sh", script)
        assert [each.code for each in checked.findings] == found


def test_readers_tell_of_nothing_that_has_no_page() -> None:
    """The names of problems in the readers' sources are those of the table, all of them and no others."""
    told = set()
    for path in Path(deploy.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            if isinstance(node, ast.Call) and name in ("Problem", "problem") and node.args:
                told |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    assert told == set(PROBLEMS)
