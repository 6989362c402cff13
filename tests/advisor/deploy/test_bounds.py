"""Files that would make a reader run away: each is refused in one line, or read in time."""

from __future__ import annotations

import time

import pytest

from advisor.deploy.deployment import NotReadableError
from advisor.deploy.documents import read_document
from advisor.deploy.finder import find

POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: vllm/vllm-openai:v1\n"
AIBRIX = "metadata: {labels: {adapter.model.aibrix.ai/enabled: 'true'}}\n"
DOUBLED = "".join(f'    - {{name: A{i}, value: "$(A{i - 1})$(A{i - 1})x"}}\n' for i in range(60))
LOCALS = "".join(f" a{i} = join(local.a{i - 1}, [local.a{i - 1}, local.a{i - 1}])\n" for i in range(1, 40))
FILES = {
    "variables.yaml": f'{POD}    env:\n{DOUBLED}    args: ["--model", "$(A59)"]\n',
    "braces.yaml": POD + '    args: ["--max-loras=8", "' + "{{" * 50_000 + '"]\n',
    "dollars.yaml": POD + '    args: ["--max-loras=8", "' + "${a" * 50_000 + '"]\n',
    "words.yaml": POD + '    args: ["--enable-lora"' + ', "m"' * 40_000 + "]\n",
    "blank.yaml": "vllm: |\n  lora\n" + "\n" * 200_000 + "  x\n",
    "aliases.yaml": 'a: &a "vllm serve m --enable-lora ' + "x " * 20_000 + '"\nb: [' + "*a, " * 20_000 + "]\n",
    "commands.yaml": 'a: &a "vllm serve m ' + "x " * 2_000 + '"\nb: [' + "{command: *a}, " * 900 + "]\n",
    "locals.tf": f'locals {{\n a0 = "vllm lora"\n{LOCALS}}}\nresource a b {{ args = [local.a39] }}\n',
    "deep.tf": "vllm = " + "[" * 3_000 + "]" * 3_000,
    "self.tf": 'locals { a = [local.a, "--max-loras=1"] }\nresource "a" "b" { args = local.a }\n',
    "lines.properties": "option.max_loras=1\\\n" * 30_000,
    "quotes.env": "A='" * 50_000,
    "recursion.sh": "start() {\n" + "  vllm serve m\n  start x\n" * 8 + "}\nstart\n",
    "calls.sh": "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(40)) + "f40() { vllm serve m; }\nf0\n",
    "loops.sh": "for a in 1 2 3 4 5 6 7 8 9; do " * 20 + " x= ; " + "done; " * 20 + "\nvllm serve m\n",
    "branches.sh": "".join(f"if [ -z $A ]; then A{i}={i}; fi\n" for i in range(15_000)) + "vllm serve m\n",
    "commands.sh": "A='x y z'\n" + "foo $A $B\n" * 60_000 + "vllm serve m\n",
    "words.sh": "vllm serve m --enable-lora " + "$A " * 100_000,
    "flags.sh": "vllm serve m " + " ".join(f"--flag{i} {i}" for i in range(30_000)),
    "servers.sh": "".join(f"vllm serve m --max-loras {i}\n" for i in range(20_000)),
    "documents.sh": "".join(f"cat <<E > {i}.yaml\nmax-loras: 2\nenable-lora: true\nE\n" for i in range(12_000)),
    "servers.py": "from vllm import LLM\n" + "a = LLM(model='m', enable_lora=True, max_loras=4)\n" * 15_000,
    "long_line.py": "from vllm import LLM\nLLM(**{" + ", ".join(f"'é{i}': {i}" for i in range(50_000)) + "})\n",
}


@pytest.mark.parametrize("file", FILES)
def test_is_read_or_refused_in_time(file: str) -> None:
    start = time.process_time()
    try:
        find(FILES[file], file)
    except NotReadableError as error:
        assert "\n" not in str(error)
    assert time.process_time() - start < 10  # 2 s on a machine of one's own


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("model_name_or_path: m\nenable_lora: true\nlora_rank: 8\nlearning_rate: 1e-4\nmax_lora_rank: 16\n", "x.yaml"),
        ("stage: sft\nfinetuning_type: lora\nenable_lora: true\nmax_lora_rank: 8\nmax_loras: 2\n", "x.yaml"),
        ("services: {s: {image: lmsysorg/sglang, command: [--enable-lora, --max-loras-per-batch, '4']}}\n", "x.yaml"),
        ("lorawan: {enable_lora: true, region: eu868}\n", "x.yaml"),
        ("model_list: [{litellm_params: {model: hosted_vllm/a, api_base: 'http://vllm'}}]\n", "x.yaml"),
        ("engine=MPI\noption.rolling_batch=trtllm\noption.enable_lora=true\noption.max_loras=4\n", "x.properties"),
        ("DATABASE_URL=x\nMAX_RETRIES=4\n", "x.env"),
        ('resource "aws_iot" "lora" { name = "lora" }\n', "x.tf"),
    ],
)
def test_what_is_no_vllm_server_is_none(text: str, file: str) -> None:
    assert read_document(text, file) == []


def test_an_init_container_is_no_server() -> None:
    text = POD.replace("containers", "initContainers") + '    args: ["--model=m", "--enable-lora", "--max-loras=2"]\n'
    assert read_document(text, "x.yaml") == []


def test_a_command_behind_an_entry_point_that_serves_is_doubled() -> None:
    compose = "services:\n  a:\n    image: vllm/vllm-openai:v1\n    command: vllm serve m --enable-lora\n"
    assert [each.code for each in read_document(compose, "x.yaml")[0].problems] == ["doubled-command"]
    pod = POD + "    command: [vllm, serve]\n    args: [m, --enable-lora]\n"
    assert read_document(pod, "x.yaml")[0].problems == ()


def test_a_config_map_that_a_command_names_is_read_for_it() -> None:
    held = "apiVersion: v1\nkind: ConfigMap\ndata:\n  e.yaml: |\n    model: m\n    max-loras: 7\n---\n"
    text = held + POD + "    args: [--config, /etc/e.yaml, --enable-lora]\n"
    (deployment,) = read_document(text, "x.yaml")
    flag = deployment.flag("max_loras")
    assert flag is not None
    assert flag.value is not None
    assert text[flag.value.place.start : flag.value.place.end] == "7"
    assert deployment.model is not None
    assert deployment.model.text == "m"


@pytest.mark.parametrize(
    ("text", "loader"),
    [
        ("servingEngineSpec: {modelSpec: [{vllmConfig: {maxLoras: 4}}]}\nloraAdapters: [{name: a}]\n", "loraAdapters"),
        (POD + "    args: [m, --enable-lora]\n  - image: o/lora-syncer:main\n", "lora-syncer"),
        (AIBRIX + POD + "    args: [m, --enable-lora]\n", "AIBrix"),
        (POD + "    args: [m, --enable-lora]\n", None),
    ],
)
def test_what_loads_adapters_from_outside_is_told(text: str, loader: str | None) -> None:
    found = read_document(text, "x.yaml")[0].loader
    assert (found.text if found else None) == loader


def test_properties_whose_values_are_missing_are_read_too() -> None:
    (server,) = read_document("option.max_cpu_loras=", "serving.properties")
    assert server.flags == ()


def test_too_many_servers_are_refused_in_time() -> None:
    commands = "vllm serve m " + "; vllm serve m --enable-lora" * 12_000
    text = f'{POD}    command: [sh, -c, "{commands}"]\n'
    start = time.process_time()
    with pytest.raises(NotReadableError, match="servers in one file"):
        read_document(text, "x.yaml")
    assert time.process_time() - start < 10  # one second on a machine of one's own; their square took a minute
