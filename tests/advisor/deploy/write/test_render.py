"""Launch files say what was recommended, whatever the names in the inventory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write import confined, render
from advisor.errors import InputError
from advisor.recommend.answer.recommendation import Recommendation
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import HOSTILE, NAMES, modules, serving, text, undollared


def wanted(names: list[str]) -> list[dict[str, str]]:
    return [{"name": name, "path": f"/from/{name}"} for name in names]


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_compose(pair: Pair, names: list[str]) -> None:
    rendered, answer = text("compose", pair, names)
    service = yaml.safe_load(rendered)["services"]["vllm"]
    assert service["entrypoint"] == ["vllm", "serve"]
    command = service["command"]
    check_arguments([undollared(word) for word in command], answer, names)


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_kubernetes(pair: Pair, names: list[str]) -> None:
    rendered, answer = text("kubernetes", pair, names)
    deployment, service = yaml.safe_load_all(rendered)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["vllm", "serve"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert service["kind"] == "Service"
    check_arguments([undollared(word) for word in container["args"]], answer, names)


def check_arguments(words: list[str], answer: Recommendation, names: list[str]) -> None:
    split = 1 + len(answer.args)
    assert words[0] == "example/Tiny-1B"
    assert words[1:split] == answer.args
    assert words[split] == "--lora-modules"
    assert modules(words[split + 1 :]) == wanted(names)


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_vllm_config(pair: Pair, names: list[str]) -> None:
    rendered, answer = text("vllm-config", pair, names)
    config = yaml.safe_load(rendered)
    assert modules(config.pop("lora-modules")) == wanted(names)
    assert config.pop("model") == "example/Tiny-1B"
    assert config.pop("enable-lora") is True
    assert {key.replace("-", "_"): value for key, value in config.items()} == answer.document()["flags"]


@pytest.mark.parametrize("names", [HOSTILE, ["plain"]])
def test_serve_runs_as_a_shell_script(pair: Pair, tmp_path: Path, names: list[str]) -> None:
    rendered, answer = text("serve", pair, names)
    for name, content in (("vllm", '#!/bin/sh\nprintf "%s\\0" "$@" > words\n'), ("serve.sh", rendered)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([tmp_path / "serve.sh", "--port", "9000"], cwd=tmp_path, env={"PATH": path}, check=True)
    words = (tmp_path / "words").read_text().split("\0")[:-1]
    assert words[:2] == ["serve", "example/Tiny-1B"]
    assert words[2 : 2 + len(answer.args)] == answer.args
    assert modules(words[3 + len(answer.args) : -2]) == wanted(names)
    assert words[-2:] == ["--port", "9000"]
    assert not (tmp_path / "owned").exists()


TEMPLATES = ("compose", "kubernetes", "serve", "vllm-config")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(TEMPLATES), NAMES, st.data())
def test_every_admitted_adapter_is_loaded_or_named(pair: Pair, template: str, names: list[str], data: Any) -> None:
    inventory, answer = serving(pair, names)
    sources = tuple(data.draw(st.none() | st.just(source)) for source in inventory.sources)
    rendered = render.render(template, answer, replace(inventory, sources=sources), pair).text
    loaded = [name for name, source in zip(names, sources, strict=True) if source]
    others = [name for name in names if name not in loaded]
    assert loaded_by(template, rendered) == wanted(loaded)
    assert f"for {len(names)} adapter" in rendered.partition(" on one ")[0]
    told = re.findall("^# not loaded at start: (.*)$", rendered, flags=re.MULTILINE)
    assert [name.encode("latin-1", "backslashreplace").decode("unicode_escape") for name in told] == others
    assert (f"{len(loaded)} of {len(names)} are loaded at start" in rendered) == bool(others)
    assert ("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in rendered) == bool(others)


def loaded_by(template: str, rendered: str) -> list[dict[str, str]]:
    """The modules that a launch file names, read as the one reads it for whom it is."""
    if template == "serve":
        words = shlex.split(rendered.replace("\\\n", ""), comments=True)[:-1]
    elif template == "vllm-config":
        return modules(yaml.safe_load(rendered).get("lora-modules", []))
    elif template == "compose":
        words = [undollared(word) for word in yaml.safe_load(rendered)["services"]["vllm"]["command"]]
    else:
        pod = next(yaml.safe_load_all(rendered))["spec"]["template"]["spec"]
        words = [undollared(word) for word in pod["containers"][0]["args"]]
    return modules(words[words.index("--lora-modules") + 1 :]) if "--lora-modules" in words else []


def test_a_file_says_what_it_is_for(pair: Pair) -> None:
    for template in TEMPLATES:
        head = text(template, pair, ["one"])[0].partition(" on one ")
        assert "vLLM 0.8.5 for 1 adapter" in head[0]
        assert head[2].startswith("test-gpu")
        assert "# tiny-1b--test-gpu: for vLLM 0.8.5 on test-gpu; measured: made up; pair built 2026-11-28" in head[2]


def test_own_templates(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "own.txt.j2"
    path.write_text("{{ model | sh }} {{ flags.max_loras }} {{ adapters[0].name | json }} {{ gpu | yaml }}")
    inventory, answer = serving(pair, ["a b"])
    made = render.render(str(path), answer, inventory, pair)
    assert made == render.LaunchFile("own.txt", 'example/Tiny-1B 1 "a b" "test-gpu"\n')


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ modle }}", "own.j2:1: mistake in the template: 'modle' is undefined"),
        ("\n{% if %}", "own.j2:2: mistake in the template"),
        ("\n\n{{ 1 / 0 }}", "own.j2:3: mistake in the template: division by zero"),
        ("{{ model.__class__.__mro__ }}", "mistake in the template: access to attribute '__class__'"),
        ("{% include 'x' %}", "mistake in the template"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "own.j2:1: mistake in the template: Range too big"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "mistake in the template: maximum recursion depth"),
        ("{{" + "(" * 9999 + "1" + ")" * 9999 + "}}", "mistake in the template: maximum recursion depth"),
        ("{% for i in range(60) %}{{ 'a' * 10 ** 6 }}{% endfor %}", "it makes more than 32,000,000 characters"),
        ("{{ 'a' * 10 ** 10 }}", "it takes more than 1,073,741,824 bytes of memory"),
    ],
)
def test_mistakes_in_templates(pair: Pair, tmp_path: Path, template: str, message: str) -> None:
    path = tmp_path / "own.j2"
    path.write_text(template)
    inventory, answer = serving(pair, ["a"])
    with pytest.raises(InputError) as error:
        render.render(str(path), answer, inventory, pair)
    assert message in str(error.value)


ENDLESS = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3


def test_a_template_without_an_end(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.j2"
    path.write_text(ENDLESS)
    inventory, answer = serving(pair, ["a"])
    monkeypatch.setattr(confined, "MAX_SECONDS", 1)
    with pytest.raises(InputError, match="mistake in the template: it takes more than 1 s"):
        render.render(str(path), answer, inventory, pair)


def test_what_is_no_template(pair: Pair, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "long").write_bytes(b"a" * 1_000_001)
    (tmp_path / "binary").write_bytes(b"a\xff")
    inventory, answer = serving(pair, ["a"])
    for name, message in (
        ("pipe", "a pipe that nothing comes from"),
        ("zero", "a device"),
        (".", "a folder"),
        ("long", "more than 1,000,000 bytes"),
        ("binary", "not UTF-8"),
    ):
        with pytest.raises(InputError, match=f"{message}.*a template is a text file"):
            render.render(str(tmp_path / name), answer, inventory, pair)


def test_no_such_template(pair: Pair) -> None:
    inventory, answer = serving(pair, ["a"])
    with pytest.raises(InputError, match=r"one of benchmark, compose, .*, vllm-config"):
        render.render("helm", answer, inventory, pair)


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "b").mkdir(parents=True)
    (target / "b" / "x").touch()
    files = [render.LaunchFile("a", "#!/bin/sh\n"), render.LaunchFile("c", "text\n")]
    with pytest.raises(InputError, match="b: cannot write: not a regular file"):
        render.write([files[0], render.LaunchFile("b", "over a directory\n")], target)
    with pytest.raises(InputError, match="two templates make the same file"):
        render.write([files[0], files[0]], target)
    with pytest.raises(InputError, match="cannot write: not a directory"):
        render.write(files, target / "b" / "x")
    assert sorted(path.name for path in target.iterdir()) == ["b"]
    assert render.write(files, target) == [target / "a", target / "c"]
    assert (target / "c").read_text() == "text\n"
    assert os.access(target / "a", os.X_OK)
    assert not os.access(target / "c", os.X_OK)
    assert sorted(path.name for path in target.iterdir()) == ["a", "b", "c"]


def test_what_is_there_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    files = [render.LaunchFile("a", "ours\n"), render.LaunchFile("b", "ours\n")]
    (tmp_path / "b").write_text("theirs\n")
    with pytest.raises(render.FileThereError, match=re.escape(f"{tmp_path / 'b'}: already there")):
        render.write(files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "theirs\n"
    render.write(files, tmp_path, replace=True)
    assert (tmp_path / "b").read_text() == "ours\n"


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("target", ["theirs", "nowhere"])
def test_a_symbolic_link_is_neither_followed_nor_replaced(tmp_path: Path, target: str, replace: bool) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "a").symlink_to(target)
    with pytest.raises(InputError, match="a: a symbolic link"):
        render.write([render.LaunchFile("a", "ours\n")], tmp_path, replace=replace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "theirs"]
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.parametrize("template", TEMPLATES)
def test_adapters_that_come_and_go_have_the_switch_in_every_file(pair: Pair, template: str) -> None:
    inventory, answer = serving(pair, ["sql"])
    with_source = replace(inventory, sources=("/adapters/sql",))
    plain = render.render(template, answer, with_source, pair).text
    dynamic = render.render(template, answer, replace(with_source, dynamic=True), pair).text
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in plain
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in dynamic and "/adapters/sql" in dynamic
