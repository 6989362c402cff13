"""vLLM servers in shell scripts: what a shell would give vLLM, and where it stands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.deploy import finder
from advisor.deploy.deployment import Deployment, NotReadableError


def find(text: str) -> list[Deployment]:
    return finder.find(text, "serve.sh")


def the_one(text: str) -> Deployment:
    (deployment,) = find(text)
    return deployment


def settings(deployment: Deployment) -> dict[str, str | None]:
    return {flag.name: flag.value.text if flag.value else "True" for flag in deployment.flags}


def codes(deployment: Deployment) -> list[str]:
    return [problem.code for problem in deployment.problems]


FLAGS = {"enable_lora": "True", "max_loras": "8", "max_lora_rank": "16"}

PLAIN = "--enable-lora --max-loras 8 --max-lora-rank 16"
SAME = {
    "plain": f"vllm serve M {PLAIN}",
    "continued": "vllm serve M \\\n  --enable-lora \\\n  --max-loras 8 \\\n  --max-lora-rank=16   # the largest\n",
    "windows": "vllm serve M \\\r\n  --enable-lora \\\r\n  --max-loras 8 --max-lora-rank=16\r\n",
    "module": f"python3 -u -m vllm.entrypoints.openai.api_server --model M {PLAIN}",
    "prefixes": f"A=1 nohup sudo -E env B=2 timeout 1h vllm serve M {PLAIN} > l 2>&1 &",
    "variables": 'SLOTS=8; R=16\nvllm serve "M" --enable-lora --max-loras $SLOTS --max-lora-rank="${R}"',
    "defaults": "vllm serve M --enable-lora --max-loras ${SLOTS:-8} --max-lora-rank=${RANK-16}",
    "assigned defaults": ': "${S:=8}" "${R:=16}"\nvllm serve M --enable-lora --max-loras $S --max-lora-rank $R',
    "flags in a variable": 'F="--enable-lora --max-loras 8"\nvllm serve M $F --max-lora-rank 16',
    "array": 'A=(--enable-lora --max-loras "8")\nA+=(--max-lora-rank=16)\nvllm serve M "${A[@]}"',
    "lines of an array": "A=(\n  --enable-lora\n  --max-loras 8 # slots\n  --max-lora-rank 16\n)\nvllm serve M ${A[@]}",
    "string": f"bash -lc 'vllm serve M {PLAIN}'",
    "string in quotes": 'S=8\nsh -c "exec vllm serve M --enable-lora --max-loras $S --max-lora-rank \\"16\\""',
    "eval": "C='vllm serve M --enable-lora --max-loras 8'\neval \"$C --max-lora-rank 16\"",
    "set": 'set -- vllm serve M --enable-lora\nset -- "$@" --max-loras 8 --max-lora-rank 16\nexec "$@"',
    "function": 'go() { vllm serve "$1" --enable-lora --max-loras "$2" --max-lora-rank ${3:-16}; }\ngo M 8',
    "never called": "go() { vllm serve M --enable-lora --max-loras 8 --max-lora-rank ${1:-16}; }",
    "loop": 'for f in --enable-lora --max-loras=8 --max-lora-rank=16; do F="$F $f"; done\nvllm serve M $F',
    "empty test": 'if [ -z "$S" ]; then S=8; fi\nvllm serve M --enable-lora --max-loras $S --max-lora-rank 16',
    "if": f"if nvidia-smi; then vllm serve M {PLAIN}; fi",
    "pipeline": f"cd x && vllm serve M {PLAIN} 2>&1 | tee log",
    "in a script written here": f"cat <<'EOF' > run.sh\nvllm serve M {PLAIN}\nEOF",
    "file": "cat > c.yml <<E\nenable-lora: true\nmax_loras: ${S:-8}\nmax-lora-rank: 16\nE\nvllm serve M --config c.yml",
    "docker": f"docker run --rm -it --gpus all -p 1:1 -e A=b vllm/vllm-openai:v0.9.0 --model M {PLAIN}",
    "kubectl": f"kubectl run v --image=vllm/vllm-openai:v0.9.0 --env=A=b -- --model M {PLAIN}",
    "docker and a shell": f"docker run --entrypoint /bin/bash i -c 'vllm serve M {PLAIN}'",
    "another machine": f"ssh host 'cd x; vllm serve M {PLAIN}'",
}


@pytest.mark.parametrize("script", SAME.values(), ids=SAME.keys())
def test_one_server_in_every_structure(script: str) -> None:
    found = the_one(script)
    assert {name: text for name, text in settings(found).items() if name != "model"} == FLAGS
    assert found.model is not None and found.model.text == "M"
    assert not found.problems and not found.partial
    for flag in found.flags:
        if flag.value is not None:
            assert script[flag.value.place.start : flag.value.place.end].strip() == flag.value.text


@pytest.mark.parametrize(
    "script",
    ["vllm serve M $FLAGS", 'vllm serve M "$@"', 'vllm serve M "${ARGS[@]}"', "vllm serve M $(cat flags)"],
)
def test_what_is_not_known_is_said_and_nothing_is_missing(script: str) -> None:
    found = the_one(script + " --max-loras $SLOTS --max-lora-rank $((8 * 2))")
    assert found.partial and codes(found) == ["unknown-arguments"]
    assert settings(found) == {"max_loras": None, "max_lora_rank": None}
    assert [flag.value.unknown for flag in found.flags if flag.value] == ["$SLOTS", "$((8 * 2))"]


def test_branches() -> None:
    one = the_one('C="vllm serve M"\nif a; then C="$C --enable-lora"; fi\neval $C')
    assert settings(one) == {"enable_lora": "True"}
    assert one.partial and codes(one) == ["unknown-arguments"]
    differ = the_one("if a; then S=8; else S=16; fi\nvllm serve M --max-loras $S")
    assert settings(differ) == {"max_loras": None}
    added = the_one('A=(--enable-lora)\nif a; then A+=(--max-loras 1); fi\nvllm serve M "${A[@]}"')
    assert settings(added) == {"enable_lora": "True", "max_loras": "1"}
    assert added.partial
    same = the_one("case $x in a) S=8;; *) S=8;; esac\nvllm serve M --max-loras $S")
    assert settings(same) == {"max_loras": "8"}


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("vllm serve M \\\n  --max-loras 4 \\  # slots\n  --enable-lora", 2),
        ("vllm serve M --max-loras 4 \\ \n  --enable-lora", 1),
        ("vllm serve M --max-loras 4\n  --enable-lora", 2),
        ("vllm serve M --max-loras 4 \\\n  # slots\n  --enable-lora", 3),
    ],
)
def test_where_a_command_ends_too_early(script: str, line: int) -> None:
    found = the_one(script)
    assert settings(found) == {"max_loras": "4"}
    assert [(problem.code, problem.place.line) for problem in found.problems] == [("comment-after-backslash", line)]


def test_places_in_a_string_in_a_script() -> None:
    script = '#!/bin/bash\nssh host "docker run vllm/vllm-openai --model M \\\n   --max-loras 4"\n'
    found = the_one(script)
    flag = found.flag("max_loras")
    assert flag is not None and flag.value is not None
    assert (flag.value.place.line, script[flag.value.place.start : flag.value.place.end]) == (3, "4")
    assert found.kind == "docker run" and found.image is not None and found.image.text == "vllm/vllm-openai"


def test_the_image_starts_the_server_already() -> None:
    assert codes(the_one("docker run vllm/vllm-openai:v0.11.0 vllm serve M --max-loras 4")) == ["doubled-command"]


def test_environment_that_an_image_turns_into_flags() -> None:
    script = "docker run -e NIM_MAX_GPU_LORAS=${SLOTS:-8} -e NIM_MAX_LORA_RANK=16 nvcr.io/nim/meta/llama:1.8"
    found = the_one(script)
    assert settings(found) == {"max_loras": "8", "max_lora_rank": "16"}
    flag = found.flag("max_loras")
    assert flag is not None and flag.value is not None
    assert script[flag.value.place.start : flag.value.place.end] == "8"


def test_environment() -> None:
    script = "export VLLM_ALLOW_RUNTIME_LORA_UPDATING=True X\nY=1\nVLLM_PLUGINS=a vllm serve M --enable-lora"
    environment = {name: value.text for name, value in the_one(script).environment.items()}
    assert environment == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_PLUGINS": "a"}


def test_what_a_container_is_passed_on_from_outside_is_not_known() -> None:
    found = the_one("docker run -e NIM_PEFT_SOURCE --env NIM_MAX_LORA_RANK -e NIM_MAX_GPU_LORAS=8 nvcr.io/nim/m:1")
    assert found.defaults["enable_lora"] == "True"
    rank = found.flag("max_lora_rank")
    assert rank is not None and rank.value is not None and rank.value.unknown == "$NIM_MAX_LORA_RANK"


@pytest.mark.parametrize(
    "script",
    [
        "vllm serve M --enable-lora &\ncurl -X POST http://x:1/v1/load_lora_adapter -d @a.json",
        'U=http://x:1\nvllm serve M --enable-lora &\nfor a in $(ls); do curl "$U/v1/load_lora_adapter"; done',
        "load() { curl x/v1/load_lora_adapter; }\nvllm serve M &\nload a",
        "bash -c 'vllm serve M & curl x/v1/load_lora_adapter'",
    ],
)
def test_calls_that_load_adapters(script: str) -> None:
    loader = the_one(script).loader
    assert loader is not None and loader.text == "a call of /v1/load_lora_adapter"
    assert "load_lora_adapter" in script[loader.place.start : loader.place.end]


@pytest.mark.parametrize("script", ["vllm serve M\ncurl x/v1/models", "vllm serve M\necho curl x/v1/load_lora_adapter"])
def test_no_calls_that_load_adapters(script: str) -> None:
    assert the_one(script).loader is None


@pytest.mark.parametrize(
    "script",
    [
        "echo vllm serve M --max-loras 4",
        "pkill -f 'vllm serve'",
        "# vllm serve M --enable-lora",
        "python -m sglang.launch_server --model-path M --enable-lora --max-loras-per-batch 1",
        "vllm bench serve --model M",
        "pip install vllm",
        'curl localhost:8000/v1/load_lora_adapter -d \'{"lora_name": "vllm"}\'',
    ],
)
def test_no_server(script: str) -> None:
    assert find(script) == []


@pytest.mark.parametrize(
    "script",
    [
        "A=x\n" + "A=$A$A\n" * 60 + "vllm serve M --max-loras $A",
        "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(18)) + "f18() { vllm serve M; }\nf0\n",
        "f() { vllm serve M; f; f; }\nf",
        'C=\'vllm serve M "$C"; eval "$C"; eval "$C$C"\'\neval "$C"',
        "for a in 1 2 3 4 5 6 7 8; do " * 12 + "vllm serve M" + "; done" * 12,
        "vllm serve M " + "--unknown-flag " * 5000,
        "vllm serve M\n" + "( " * 5000 + "a" + " )" * 5000,
        "cat <<A | vllm\n" * 2000,
    ],
    ids=range(8),
)
def test_bombs_end(script: str) -> None:
    start = time.process_time()
    try:
        find(script)
    except NotReadableError as error:
        assert "\n" not in str(error)
    assert time.process_time() - start < 2


WORDS = st.sampled_from(
    ["8", "a b", "$X", "x=$Y", "it's", "", "*", "#", "-", "${X:-4}", "${Z:-4}", "${Y:+s}", "~", "a,b"]
)


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
@given(st.lists(st.tuples(WORDS, st.sampled_from(["plain", "single", "double"])), max_size=6))
def test_bash_takes_words_the_same(words: Sequence[tuple[str, str]]) -> None:
    """A command's words with known variables are those that bash itself makes of it."""
    quoted = [_quoted(word, how) for word, how in words]
    script = "X='p q'; Y=r\nset -f\n"
    command = "vllm serve M --served-model-name name " + " ".join(quoted)
    real = subprocess.run(
        ["bash", "-c", script + "vllm() { printf '%s\\0' \"$@\"; }\n" + command], capture_output=True, check=True
    )
    names = the_one(script + command).flags[0].value
    assert names is not None
    assert names.text == " ".join(real.stdout.decode().split("\0")[3:-1])


def _quoted(word: str, how: str) -> str:
    if how == "single" and "'" not in word:
        return f"'{word}'"
    if how == "plain" and word and not set(word) & set("' #~*"):
        return word
    return f'"{word}"'


def test_variables_have_one_order_in_every_process() -> None:
    exports = "".join(f"export {name}=1\n" for name in "HGFEDCBA")
    assert list(the_one(f"{exports}vllm serve M {PLAIN}").environment) == list("ABCDEFGH")
