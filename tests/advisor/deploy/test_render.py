"""Launch files say what was recommended, whatever the names in the inventory."""

from __future__ import annotations

import json
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

from advisor.deploy import render
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory, parse
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.recommendation import Recommendation
from advisor.zoo.pairs import Pair
from tests.advisor import inventories

HOSTILE = [
    "a\"b'c",
    "two\nlines: [x]",
    "{{ 7 * 7 }}{% for x in y %}",
    "$(touch owned) `touch owned` ${HOME} $HOME $$",
    "- # : & * ! | > % @ \\",
    "\u2028\x85\x7f\x1b[31m 😀 --max-loras=1",
    "--lora-modules",
]


def serving(pair: Pair, names: list[str]) -> tuple[Inventory, Recommendation]:
    """An inventory of adapters with these names, which are also where they are loaded from."""
    document: dict[str, Any] = {
        "model": "tiny-1b",
        "gpu": "test-gpu",
        "lengths": {"input": {"mean": 100, "std": 50}, "output": {"mean": 100, "std": 50}},
        "adapters": [{"name": name, "rank": 8, "rate": 0.05, "source": f"/from/{name}"} for name in names],
    }
    inventory = parse(inventories.toml(document))
    answer = recommend(inventory, pair, Objective())
    assert answer.admission.rejected == ()
    return inventory, answer


def text(template: str, pair: Pair, names: list[str]) -> tuple[str, Recommendation]:
    inventory, answer = serving(pair, names)
    return render.render(template, answer, inventory, pair).text, answer


def modules(words: list[str]) -> list[dict[str, str]]:
    return [json.loads(word) for word in words]


def wanted(names: list[str]) -> list[dict[str, str]]:
    return [{"name": name, "path": f"/from/{name}"} for name in names]


NAMES = st.lists(inventories.names | st.sampled_from(HOSTILE), min_size=1, max_size=5, unique=True)


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_compose(pair: Pair, names: list[str]) -> None:
    rendered, answer = text("compose", pair, names)
    command = yaml.safe_load(rendered)["services"]["vllm"]["command"]
    check_arguments([undollared(word) for word in command], answer, names)


@settings(max_examples=50, deadline=None)
@given(NAMES)
def test_kubernetes(pair: Pair, names: list[str]) -> None:
    rendered, answer = text("kubernetes", pair, names)
    deployment, service = yaml.safe_load_all(rendered)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert service["kind"] == "Service"
    check_arguments([undollared(word) for word in container["args"]], answer, names)


def check_arguments(words: list[str], answer: Recommendation, names: list[str]) -> None:
    split = 2 + len(answer.args)
    assert words[:2] == ["--model", "example/Tiny-1B"]
    assert words[2:split] == answer.args
    assert words[split] == "--lora-modules"
    assert modules(words[split + 1 :]) == wanted(names)


def undollared(word: str) -> str:
    """What compose and Kubernetes make of a word; a single dollar would be a variable."""
    assert "$" not in re.sub(r"\$\$", "", word)
    return word.replace("$$", "$")


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


def test_adapters_without_a_source_are_not_loaded_at_start(pair: Pair) -> None:
    inventory, answer = serving(pair, ["a", "b"])
    rendered = render.render("serve.sh", answer, replace(inventory, sources=(None, None)), pair).text
    assert "--lora-modules" not in rendered
    assert shlex.split(rendered, comments=True)[-1] == "$@"


def test_own_templates(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "own.txt.j2"
    path.write_text("{{ model | sh }} {{ flags.max_loras }} {{ adapters[0].name | json }} {{ gpu | yaml }}")
    inventory, answer = serving(pair, ["a b"])
    made = render.render(str(path), answer, inventory, pair)
    assert made == render.LaunchFile("own.txt", 'example/Tiny-1B 1 "a b" "test-gpu"\n')


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ modle }}", "mistake in the template: 'modle' is undefined"),
        ("\n{% if %}", "own.j2:2: mistake in the template"),
        ("{{ 1 / 0 }}", "mistake in the template"),
        ("{{ model.__class__.__mro__ }}", "mistake in the template: access to attribute '__class__'"),
        ("{% include 'x' %}", "mistake in the template"),
    ],
)
def test_mistakes_in_templates(pair: Pair, tmp_path: Path, template: str, message: str) -> None:
    path = tmp_path / "own.j2"
    path.write_text(template)
    inventory, answer = serving(pair, ["a"])
    with pytest.raises(InputError) as error:
        render.render(str(path), answer, inventory, pair)
    assert message in str(error.value)


def test_no_such_template(pair: Pair) -> None:
    inventory, answer = serving(pair, ["a"])
    with pytest.raises(InputError, match="one of compose, kubernetes, serve, vllm-config"):
        render.render("helm", answer, inventory, pair)


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "b").mkdir(parents=True)
    (target / "b" / "x").touch()
    files = [render.LaunchFile("a", "#!/bin/sh\n"), render.LaunchFile("c", "text\n")]
    with pytest.raises(InputError, match="cannot write"):
        render.write([render.LaunchFile("b", "over a directory\n")], target)
    with pytest.raises(InputError, match="two templates make the same file"):
        render.write([files[0], files[0]], target)
    with pytest.raises(InputError, match="cannot write"):
        render.write(files, target / "b" / "x")
    assert sorted(path.name for path in target.iterdir()) == ["b"]
    assert render.write(files, target) == [target / "a", target / "c"]
    assert (target / "c").read_text() == "text\n"
    assert os.access(target / "a", os.X_OK)
    assert not os.access(target / "c", os.X_OK)
    assert sorted(path.name for path in target.iterdir()) == ["a", "b", "c"]
