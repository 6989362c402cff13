"""How vLLM reads its command line: cases watched on 0.32's own parser, and argparse itself beside ours."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.deploy.arguments.argument_list import Arguments
from advisor.deploy.arguments.command_line import read_arguments
from advisor.deploy.arguments.spellings import Spelling, spellings
from advisor.deploy.arguments.word import Word
from advisor.deploy.source import Source


def read(*words: str, serve: bool = True) -> Arguments:
    return read_arguments([Word(Source.of(word)) for word in words], serve=serve)


def settings(found: Arguments) -> dict[str, str | None]:
    return {flag.name: flag.value.text if flag.value else "True" for flag in found.flags}


def codes(found: Arguments) -> list[str]:
    return [problem.code for problem in found.problems]


@pytest.mark.parametrize(
    "words",
    [
        ("--max-loras", "8"),
        ("--max-loras=8",),
        ("--max_loras", "8"),
        ("--max_loras=8",),
        ("--max-loras", "4", "--max-loras", "8"),
        ("--max-loras", " 8 "),
    ],
)
def test_one_setting_in_every_spelling(words: Sequence[str]) -> None:
    found = read("M", *words)
    assert settings(found) == {"max_loras": "8"}
    assert not found.problems
    assert found.model is not None and found.model.text == "M"


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("--max-lora-r=16", "max_lora_rank", "16"),
        ("--max-cpu=64", "max_cpu_loras", "64"),
        ("--max-num-seq=512", "max_num_seqs", "512"),
        ("--gpu-mem=0.9", "gpu_memory_utilization", "0.9"),
        ("--max-model-len=128k", "max_model_len", "128000"),
        ("--max-model-len=8K", "max_model_len", "8192"),
        ("--max-num-batched-tokens=25.6k", "max_num_batched_tokens", "25600"),
        ("--max-model-len=auto", "max_model_len", "-1"),
        ("--max-cpu-loras=None", "max_cpu_loras", "None"),
        ("-tp=2", "tensor_parallel_size", "2"),
        ("--enable-lor", "enable_lora", "True"),
        ("--no-enable-lora", "enable_lora", "False"),
    ],
)
def test_beginnings_and_numbers(word: str, name: str, value: str) -> None:
    found = read("M", word)
    assert settings(found) == {name: value}
    assert not found.problems


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["M", "--max-lora", "8"], "ambiguous-flag"),
        (["M", "--lora", "a=/a"], "ambiguous-flag"),
        (["M", "--max-loras 8"], "flag-and-value-in-one-item"),
        (["--model=M", "--enable-lora --max-loras 8"], "flag-and-value-in-one-item"),
        (["M", "--enable-lora=true"], "switch-with-value"),
        (["M", "--enable-lora", "true"], "switch-with-value"),
        (["M", "--max-loras"], "missing-value"),
        (["M", "--max-loras", "--enable-lora"], "missing-value"),
        (["M", "--lora-modules", "--enable-lora"], "missing-value"),
        (["M", "--max-loras", "8.0"], "invalid-value"),
        (["M", "--max-loras", "8k"], "invalid-value"),
        (["M", "--max-num-seqs", "1k"], "invalid-value"),
        (["M", "--max-model-len", "8.5K"], "invalid-value"),
        (["M", "--max-loras", "-1"], "invalid-value"),
        (["M", "--max-loras", ""], "invalid-value"),
        (["M", "--max-lora-rank", "24"], "invalid-value"),
        (["M", "--max-loras", "None"], "invalid-value"),
        (["M", "--lora-modules", "a=/a,b=/b"], "lora-modules-commas"),
        (["M", "--lora-modules", "a=/a b=/b"], "lora-modules-commas"),
        (["M", "--lora-modules", '[{"name": "a", "path": "/a"}]'], "lora-modules-commas"),
        (["--lora-modules", "a=/a", "M"], "lora-modules-swallow-model"),
        (["M", "--lora-modules", '{"name": "a"}'], "lora-modules-swallow-model"),
        (["M", "--lora-modules", '{"name": "a", "path": "/a", "rank": 8}'], "lora-modules-swallow-model"),
        (["M", "N"], "extra-argument"),
        (["M", " "], "extra-argument"),
        (["M", "--model", "N"], "extra-argument"),
        (["M", "--lora_modules=a=/a", "b=/b"], "extra-argument"),
        (["M", "--max-lorras", "8"], "unknown-flag"),
        (["M", "--Max-Loras", "8"], "unknown-flag"),
        (["M", "-max-loras", "8"], "unknown-flag"),
        (["M", "--config=engine.yaml"], "config-equals"),
        (["M", "--config", "a.yaml", "--config", "b.yaml"], "config-twice"),
        (["M", "--config", "engine.json"], "config-suffix"),
        (["--served-model-name", "chat", "M"], "model-not-first"),
    ],
)
def test_what_vllm_does_not_read(words: Sequence[str], code: str) -> None:
    assert code in codes(read(*words))


def test_what_is_meant_is_judged_beside_a_mistake() -> None:
    found = read("M", "--max-loras 8", "--enable-lora=true", "--max-lora-rank=16")
    assert settings(found) == {"max_loras": "8", "enable_lora": "True", "max_lora_rank": "16"}
    assert [problem.replacement for problem in found.problems] == ["--max-loras=8", "--enable-lora"]
    assert read("M", "--enable-lora=false").problems[0].replacement == "--no-enable-lora"


def test_adapters() -> None:
    found = read(
        "M", "--lora-modules", "z=/z", "--lora-modules", "a=/a", '{"name": "b", "path": "/b"}', "--max-loras=2"
    )
    assert [(adapter.name, adapter.source) for adapter in found.adapters] == [("a", "/a"), ("b", "/b")]
    assert codes(found) == ["lora-modules-twice"]


def test_unknown_values_are_carried_and_unknown_words_leave_the_list_open() -> None:
    whole = Source.of("M --max-loras=$SLOTS $EXTRA_ARGS")
    words = [
        Word(whole.part(0, 1)),
        Word(whole.part(2, 20), unknown="$SLOTS"),
        Word(whole.part(21, 32), unknown="$EXTRA_ARGS", splits=True),
    ]
    found = read_arguments(words)
    (flag,) = found.flags
    assert flag.value is not None
    assert (flag.value.text, flag.value.unknown) == (None, "$SLOTS")
    assert whole.text[flag.value.place.start : flag.value.place.end] == "$SLOTS"
    assert found.open and codes(found) == ["unknown-arguments"]
    assert not read_arguments(words[:2]).open


def test_a_config_file_stands_behind_the_model_and_before_the_flags() -> None:
    entries = {"model": "N", "max-loras": "4", "enable-lora": None, "max_lora_rank": "8"}

    def config(name: str) -> list[tuple[str, list[Word]]] | None:
        if name != "engine.yaml":
            return None
        return [
            (key, [Word(Source.of(word)) for word in (f"--{key}", value) if word is not None])
            for key, value in entries.items()
        ]

    words = [Word(Source.of(word)) for word in ("M", "--max-loras=8", "--config", "engine.yaml")]
    found = read_arguments(words[:2] + words[2:], config=config)
    assert settings(found)["max_loras"] == "8" and settings(found)["max_lora_rank"] == "8"
    words[3] = Word(Source.of("other.yaml"))
    missing = read_arguments(words, config=config)
    assert missing.open and codes(missing) == ["unknown-config"]


@given(st.data())
def test_argparse_reads_the_same(data: st.DataObject) -> None:
    """Where argparse with vLLM's flags takes a list, ours reads the same from it; where it does not, ours says why."""
    spelled = "--max-loras --max-lora-rank --max-cpu-loras --enable-lora --no-enable-lora --max-num-seqs --max-lora "
    spelled += "--max-cpu --max-num --enable-lor --enable-l --nothing -tp --lora-target-mod"
    options = st.sampled_from(spelled.split())
    values = st.sampled_from(["8", "16", "-1", "1.5", "M", "true", ""])
    pieces = st.one_of(
        st.tuples(options, values).map(lambda pair: ["=".join(pair)]),
        st.tuples(options, values).map(list),
        options.map(lambda option: [option]),
        values.map(lambda value: [value]),
    )
    words = [word for piece in data.draw(st.lists(pieces, max_size=6)) for word in piece]
    expected = _by_argparse(words)
    found = read(*words, serve=False)
    # What vLLM checks behind its parser, argparse knows nothing of; "true" behind a switch is none's model for us.
    ours_alone = [p for p in found.problems if "less than" in p.message or "unrecognized argument" in p.message]
    if expected is None:
        assert found.problems
    elif not ours_alone:
        assert not found.problems
        assert settings(found) == expected


def _by_argparse(words: Sequence[str]) -> dict[str, str] | None:
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("model_tag", nargs="?")
    known, _ = spellings()
    for each in {spelling.name: spelling for spelling in known.values() if not spelling.former}.values():
        if each.type == "switch" and any(option.startswith("--no-") for option in each.options):
            parser.add_argument(each.options[0], action=argparse.BooleanOptionalAction)
        elif each.type == "switch":
            parser.add_argument(*each.options, action="store_true")
        else:
            choices = [1, 8, 16, 32, 64, 128, 256, 320, 512] if each.name == "max_lora_rank" else None
            nargs = "+" if each.many else "?" if each.may_have else None
            parser.add_argument(*each.options, type=_type(each), nargs=nargs, choices=choices)
    try:
        read, rest = parser.parse_known_args(list(words))
    except (argparse.ArgumentError, SystemExit):
        return None
    told = {name: value for name, value in vars(read).items() if name != "model_tag"}
    texts = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in told.items()}
    return None if rest else texts


def _type(spelling: Spelling) -> Callable[[str], object]:
    if spelling.type != "int":
        return str
    return (lambda text: None if text in ("", "None") else int(text)) if spelling.or_none else int
