"""One server, written in every structure and spelling, is one Deployment with the same flags."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy import finder
from advisor.deploy.deployment import Deployment, NotReadableError

NUMBERS = ("max_loras", "max_cpu_loras", "max_lora_rank", "max_num_seqs", "max_model_len")


@dataclass(frozen=True, slots=True)
class Server:
    """What is written: settings, and how each is spelled."""

    numbers: dict[str, int]
    spelled: tuple[str, ...]
    """Of each setting: --a-b=1, --a_b 1, ..."""
    adapters: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        words = ["--enable-lora"]
        for (name, number), how in zip(self.numbers.items(), self.spelled, strict=True):
            flag = "--" + (name if "_" in how else name.replace("_", "-"))
            words += [f"{flag}={number}"] if "=" in how else [flag, str(number)]
        return words + (
            ["--lora-modules", *(f"{name}=/adapters/{name}" for name in self.adapters)] if self.adapters else []
        )


SERVERS = st.builds(
    lambda numbers, how, adapters: Server(numbers, tuple(how[: len(numbers)]), tuple(adapters)),
    st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from([1, 8, 16, 64, 512]), min_size=1),
    st.lists(st.sampled_from(["-", "_", "-=", "_="]), min_size=5, max_size=5),
    st.lists(st.sampled_from(["a", "b-1", "ü", "x_y"]), max_size=2, unique=True),
)


def shell_words(server: Server) -> str:
    return shlex.join(["vllm", "serve", "org/model", *server.words])


def lines(server: Server) -> str:
    return "exec vllm serve org/model \\\n    " + " \\\n    ".join(map(shlex.quote, server.words)) + "  # served\n"


def array(server: Server) -> str:
    words = "\n".join(f'  "{word}"' for word in server.words)
    return f'#!/bin/bash\nARGS=(\n{words}\n)\nvllm serve org/model "${{ARGS[@]}}" 2>&1 | tee log\n'


def variables(server: Server) -> str:
    return f"FLAGS='{' '.join(server.words)}'\nnohup vllm serve org/model $FLAGS &\n"


def heredoc(server: Server) -> str:
    return f"kubectl apply -f - <<'EOF'\n{deployment(server)}EOF\n"


def docker(server: Server) -> str:
    return shlex.join(
        ["docker", "run", "--rm", "-it", "-e", "A=b", "vllm/vllm-openai:v0.9.0", "--model", "org/model"]
    ) + (" " + shlex.join(server.words))


def subprocess_list(server: Server) -> str:
    words = ["vllm", "serve", "org/model", *server.words]
    return f"import subprocess\n\ncmd = {words!r}\nsubprocess.run(cmd, check=True)\n"


def grown_list(server: Server) -> str:
    more = "".join(f"cmd.append({word!r})\n" for word in server.words)
    return f"import subprocess\ncmd = ['vllm', 'serve', 'org/model']\n{more}subprocess.Popen(cmd)\n"


def python_text(server: Server) -> str:
    return f"import os\nos.system({shell_words(server)!r})\n"


def dockerfile(server: Server) -> str:
    return (
        f"FROM python:3.12\nENTRYPOINT {json.dumps(['vllm', 'serve', 'org/model'])}\nCMD {json.dumps(server.words)}\n"
    )


def dockerfile_shell(server: Server) -> str:
    return "FROM python:3.12\nCMD vllm serve org/model \\\n  # flags\n  " + " \\\n  ".join(server.words) + "\n"


def unit(server: Server) -> str:
    return "[Service]\nExecStart=/opt/vllm/bin/vllm serve org/model \\\n  " + " \\\n  ".join(server.words) + "\n"


def deployment(server: Server) -> str:
    container = {"name": "v", "image": "vllm/vllm-openai:v0.9.0", "args": ["--model", "org/model", *server.words]}
    return yaml.safe_dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "v"},
         "spec": {"template": {"spec": {"containers": [container]}}}}, allow_unicode=True,
    )  # fmt: skip


def deployment_script(server: Server) -> str:
    container = {"name": "v", "image": "x", "command": ["/bin/bash", "-lc"], "args": [lines(server)]}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}, allow_unicode=True)


def compose(server: Server) -> str:
    return yaml.safe_dump(
        {"services": {"v": {"image": "vllm/vllm-openai:v0.9.0", "command": ["--model", "org/model", *server.words]}}},
        allow_unicode=True,
    )


def manifest_in_json(server: Server) -> str:
    return json.dumps(yaml.safe_load(deployment(server)), indent=1, ensure_ascii=False)


STRUCTURES: dict[Callable[[Server], str], str] = {
    shell_words: "run.sh",
    lines: "run.sh",
    array: "run",
    variables: "run.sh",
    heredoc: "apply.sh",
    docker: "-",
    subprocess_list: "serve.py",
    grown_list: "-",
    python_text: "serve.py",
    dockerfile: "Dockerfile",
    dockerfile_shell: "-",
    unit: "vllm.service",
    deployment: "v.yaml",
    deployment_script: "-",
    compose: "compose.yaml",
    manifest_in_json: "v.json",
}


def told(found: Deployment) -> dict[str, str]:
    flags = {flag.name: flag.value.text or "" if flag.value else "True" for flag in found.flags}
    return {name: text for name, text in flags.items() if name not in ("model", "lora_modules")}


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
@settings(max_examples=25)
@given(server=SERVERS)
def test_one_server_is_one_deployment(structure: Callable[[Server], str], server: Server) -> None:
    text = structure(server)
    (found,) = finder.find(text, STRUCTURES[structure])
    assert told(found) == {"enable_lora": "True"} | {name: str(number) for name, number in server.numbers.items()}
    assert found.model is not None and found.model.text == "org/model"
    assert [adapter.name for adapter in found.adapters] == list(server.adapters)
    assert not found.problems and not found.partial
    for flag in found.flags:
        if flag.value is not None and flag.name in NUMBERS:
            place = flag.value.place
            assert text[place.start : place.end] == flag.value.text
            line = text.splitlines()[place.line - 1]
            assert line[place.column - 1 :].startswith(text[place.start : place.end])


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
@settings(max_examples=10)
@given(server=SERVERS, number=st.integers(1, 2000))
def test_a_value_is_replaced_where_it_stands(structure: Callable[[Server], str], server: Server, number: int) -> None:
    text, name = structure(server), next(iter(server.numbers))
    flag = finder.find(text, STRUCTURES[structure])[0].flag(name)
    assert flag is not None and flag.value is not None
    place = flag.value.place
    (found,) = finder.find(f"{text[: place.start]}{number}{text[place.end :]}", STRUCTURES[structure])
    changed = found.flag(name)
    assert changed is not None and changed.value is not None and changed.value.text == str(number)


PIECES = (
    *("vllm serve M ", "--max-loras ", "=", "8", "$X", "${X:-", "}", "$(", ")", "((", '"', "'", "\\", "\n", "<<EOF\n"),
    *("EOF\n", "if ", "then ", "fi\n", "for i in ", "; do ", "done\n", "f() { ", "A=(", "A+=", "eval ", "#", "\t"),
    *("bash -c ", "import vllm\n", "def f(x=", "):\n ", "run([", "])", "LLM(", "**a, ", "lora=", "f'{", "FROM a\n"),
    *("CMD [", "ENTRYPOINT ", "[Service]\n", "ExecStart=", "\r\n", "\x00", "é", "{{ .x }}", "a: &a\n", "- *a\n", "{"),
    *("[", "docker run vllm/vllm-openai ", "a: >\n  "),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=30),
    st.sampled_from(["a.sh", "a.py", "a.yaml", "Dockerfile", "a.service", "-", "a.tf"]),
)
def test_any_text_is_read_or_refused_in_one_line(pieces: Sequence[str], name: str) -> None:
    text = "".join(pieces) + "# vllm"
    start = time.process_time()
    try:
        found = finder.find(text, name)
    except NotReadableError as error:
        assert "\n" not in str(error)
        return
    finally:
        assert time.process_time() - start < 2
    for deployment_ in found:
        for flag in deployment_.flags:
            assert 0 <= flag.place.start <= flag.place.end <= len(text)
            assert flag.value is None or flag.value.text is not None or flag.value.unknown


@pytest.mark.parametrize("name", ["-", "a.sh", "a.py", "a.service", "Dockerfile"])
@pytest.mark.parametrize(
    "text",
    [
        "vllm\n" + "\n" * 100_000,
        "#\n" * 100_000 + "vllm",
        "\n # lora\n \n" * 200 + "vllm serve",
        " " * 200_000 + "vllm",
        "# vllm\n" + "x=1\n" * 20_000,
        "'" * 100_000 + "vllm",
        "vllm serve " + "a=/a " * 20_000,
        "vllm " + "{" * 50_000,
    ],
    ids=range(8),
)
def test_long_texts_take_no_longer_than_they_are(text: str, name: str) -> None:
    start = time.process_time()
    try:
        finder.find(text, name)
    except NotReadableError as error:
        assert "\n" not in str(error)
    assert time.process_time() - start < 2
