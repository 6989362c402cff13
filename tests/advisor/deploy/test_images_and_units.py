"""vLLM servers in Dockerfiles and systemd units."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.deploy import finder
from advisor.deploy.deployment import Deployment


def the_one(text: str, name: str) -> Deployment:
    (deployment,) = finder.find(text, name)
    return deployment


def settings(deployment: Deployment) -> dict[str, str | None]:
    return {flag.name: flag.value.text if flag.value else "True" for flag in deployment.flags if flag.name != "model"}


FLAGS = {"enable_lora": "True", "max_loras": "8", "max_lora_rank": "16"}
EXEC = '"--enable-lora", "--max-loras", "8", "--max-lora-rank=16"'
PLAIN = "--enable-lora --max-loras 8 --max-lora-rank 16"

DOCKERFILES = {
    "exec": f'FROM x\nENTRYPOINT ["vllm", "serve", "M", {EXEC}]\n',
    "shell": f"FROM x\nCMD vllm serve M {PLAIN}",
    "both": f'FROM x\nENTRYPOINT ["vllm", "serve"]\nCMD ["M", {EXEC}]\n',
    "module": f'FROM x\nENTRYPOINT ["python3", "-m", "vllm.entrypoints.openai.api_server"]\n'
    f'CMD ["--model", "M", {EXEC}]',
    "image's own": f'FROM vllm/vllm-openai:v0.9.0\nCMD ["--model=M", \\\n  # slots\n\n  {EXEC}]\n',
    "lower case, windows": f'from x\r\nrun a && \\\r\n  b\r\ncmd ["vllm", "serve", "M", \\\r\n  {EXEC}]\r\n',
    "variables": "ARG V=1\nFROM x:$V\nARG S=8\nENV SLOTS=$S \\\n  # rank\n  RANK=16\nENV MODEL M\n"
    "CMD exec vllm serve $MODEL --enable-lora --max-loras ${SLOTS:-1} --max-lora-rank ${RANK}",
    "stages": f'FROM x AS base\nENTRYPOINT ["vllm", "serve", "M", {EXEC}]\nFROM other\nRUN y\nFROM base\nUSER z\n',
    "a shell": f'FROM x\nENTRYPOINT ["/bin/bash", "-lc"]\nCMD ["vllm serve M {PLAIN}"]',
    "script in it": f"FROM x\nCOPY --chmod=755 <<'EOF' /run.sh\n#!/bin/sh\nvllm serve M {PLAIN}\nEOF\n",
    "escape": f"# escape=`\nFROM x\nCMD vllm serve M `\n  {PLAIN}",
    "configuration in it": "FROM x\nCOPY <<EOF /c.yaml\nenable-lora: true\nmax-loras: 8\nmax-lora-rank: 16\nEOF\n"
    'ENTRYPOINT ["vllm", "serve", "M", "--config", "/c.yaml"]\n',
}

UNITS = {
    "plain": f"[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/vllm serve M {PLAIN}\nRestart=always\n",
    "continued": "[Service]\nExecStart=-/v/bin/vllm serve M \\\n  --enable-lora \\\n# slots\n  --max-loras 8 \\\n"
    "  --max-lora-rank 16\n",
    "environment": '[Service]\nEnvironment=SLOTS=8 "FLAGS=--enable-lora --max-lora-rank=16"\n'
    "ExecStart=/v/vllm serve M --max-loras ${SLOTS} $FLAGS\n",
    "a shell": f"[Service]\nExecStart=/bin/bash -lc 'exec vllm serve M {PLAIN}'\n",
    "supervisord": f"[supervisord]\nnodaemon=true\n[program:v]\ncommand=/v/vllm serve M {PLAIN}\nautorestart=true\n",
    "docker": f"[Service]\nExecStart=/usr/bin/docker run --rm vllm/vllm-openai:v0.9.0 --model M {PLAIN}\n",
    "quadlet": f"[Container]\nImage=docker.io/vllm/vllm-openai:v0.9.0\nExec=--model M {PLAIN}\n",
}


@pytest.mark.parametrize("text", DOCKERFILES.values(), ids=DOCKERFILES.keys())
@pytest.mark.parametrize("name", ["Dockerfile", "-", "serve.Dockerfile"])
def test_one_image_in_every_structure(text: str, name: str) -> None:
    found = the_one(text, name)
    assert dict(sorted(settings(found).items())) == dict(sorted(FLAGS.items()))
    assert found.model is not None and found.model.text == "M"
    assert not found.problems and not found.partial
    for flag in found.flags:
        if flag.value is not None and flag.value.text is not None:
            assert flag.value.text in text[flag.value.place.start : flag.value.place.end]


@pytest.mark.parametrize("text", UNITS.values(), ids=UNITS.keys())
@pytest.mark.parametrize("name", ["vllm.service", "-"])
def test_one_unit_in_every_structure(text: str, name: str) -> None:
    found = the_one(text, name)
    assert dict(sorted(settings(found).items())) == dict(sorted(FLAGS.items()))
    assert found.model is not None and found.model.text == "M"
    assert not found.problems and not found.partial
    assert found.insertion is not None
    at = found.insertion.place.start
    more = text[:at] + found.insertion.template.replace("{flag}={value}", "--max-cpu-loras=9") + text[at:]
    assert settings(the_one(more, name))["max_cpu_loras"] == "9"


def test_the_image_starts_the_server_already() -> None:
    found = the_one('FROM vllm/vllm-openai\nCMD ["vllm", "serve", "M", "--enable-lora"]', "Dockerfile")
    assert [problem.code for problem in found.problems] == ["doubled-command"]


def test_environment_that_an_image_turns_into_flags() -> None:
    found = the_one("FROM nvcr.io/nim/meta/llama:1.8\nENV NIM_MAX_GPU_LORAS=8 NIM_PEFT_SOURCE=/a\n", "Dockerfile")
    assert settings(found) == {"max_loras": "8"}


def test_what_is_not_known_is_said() -> None:
    found = the_one(
        "[Service]\nEnvironmentFile=/x\nExecStart=/v/vllm serve M --max-loras ${SLOTS} $FLAGS\n", "a.service"
    )
    assert found.partial and settings(found) == {"max_loras": None}
    image = the_one("FROM x\nCMD vllm serve M --max-loras $SLOTS", "Dockerfile")
    assert settings(image) == {"max_loras": None}


def test_a_file_that_config_names(tmp_path: Path) -> None:
    (tmp_path / "engine.yaml").write_text("enable-lora: true\nmax-loras: 8\n")
    script = tmp_path / "serve.sh"
    found = the_one("vllm serve M --config /etc/engine.yaml --max-lora-rank 16", str(script))
    assert settings(found) == FLAGS
    flag = found.flag("max_loras")
    assert flag is not None and flag.value is not None
    assert (flag.value.place.file, flag.value.place.line) == (str(tmp_path / "engine.yaml"), 2)
    missing = the_one("vllm serve M --config other.yaml", str(script))
    assert missing.partial and [problem.code for problem in missing.problems] == ["unknown-config"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FROM vllm/vllm-openai:v0.9.0\nCOPY lora /lora\n", "Dockerfile"),
        ('FROM x\nRUN pip install vllm\nCMD ["bash"]\n', "Dockerfile"),
        ("[Service]\nExecStart=/usr/bin/echo vllm lora\n", "a.service"),
        ("[Unit]\nDescription=LoRa gateway\n", "-"),
    ],
)
def test_no_server(text: str, name: str) -> None:
    assert finder.find(text, name) == []
