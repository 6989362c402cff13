"""Settings that stand in one place and are named in another: variables of files, of ConfigMaps, of the shell around."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.deploy.deployment import Deployment
from advisor.deploy.finder import find

NIM = "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.3"
SETTINGS = {"NIM_PEFT_SOURCE": "/loras", "NIM_MAX_GPU_LORAS": "20", "NIM_MAX_LORA_RANK": "8"}
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nim}\ndata:\n" + "".join(
    f'  {name}: "{value}"\n' for name, value in SETTINGS.items()
)
POD = f"---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {NIM}\n"


def rank(deployment: Deployment, text: str) -> str:
    """What stands at the place of max_lora_rank."""
    flag = deployment.flag("max_lora_rank")
    assert flag is not None
    assert flag.value is not None
    assert flag.value.text == "8"
    return text[flag.value.place.start : flag.value.place.end]


@pytest.mark.parametrize("said", ["nim.env", "[a.env, nim.env]", "[{path: ./nim.env, required: true}]"])
def test_a_service_has_the_variables_of_its_file(said: str, tmp_path: Path) -> None:
    variables = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
    (tmp_path / "nim.env").write_text(variables)
    file = tmp_path / "compose.yaml"
    (server,) = find(f"services:\n  nim:\n    image: {NIM}\n    env_file: {said}\n", str(file))
    assert rank(server, variables) == "8"
    assert server.flags[0].place.file == str(tmp_path / "nim.env")


def test_a_service_s_own_variable_counts_before_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "nim.env").write_text("NIM_PEFT_SOURCE=/loras\nNIM_MAX_LORA_RANK=64\n")
    text = f'services:\n  nim:\n    image: {NIM}\n    env_file: nim.env\n    environment: {{NIM_MAX_LORA_RANK: "8"}}\n'
    (server,) = find(text, str(tmp_path / "compose.yaml"))
    assert rank(server, text) == "8"


def test_a_config_map_alone_is_a_part_and_beside_its_pod_read_once() -> None:
    (alone,) = find(CONFIG_MAP, "nim.yaml")
    assert rank(alone, CONFIG_MAP) == "8"
    assert alone.partial
    text = f"{CONFIG_MAP}{POD}    envFrom:\n    - configMapRef:\n        name: nim\n"
    (server,) = find(text, "nim.yaml")
    assert rank(server, text) == "8"
    assert not server.partial


def test_docker_gets_exported_variables_by_name() -> None:
    names = " ".join(f"-e {name}" for name in SETTINGS)
    exported = "".join(f"export {name}={value}\n" for name, value in SETTINGS.items())
    text = f"{exported}docker run {names} {NIM}\n"
    (server,) = find(text, "run.sh")
    assert rank(server, text) == "8"
    (unknown,) = find(f"docker run {names} {NIM}\n", "run.sh")
    flag = unknown.flag("max_lora_rank")
    assert flag is not None
    assert flag.value is not None
    assert flag.value.unknown == "$NIM_MAX_LORA_RANK"


@pytest.mark.parametrize(
    "arguments",
    [
        "--image=vllm/vllm-openai:v0.9.0 --args=--model,m,--enable-lora,--max-lora-rank,8",
        "--image vllm/vllm-openai:v0.9.0 --args '--model=m,--enable-lora,--max-lora-rank=8'",
        "--image vllm/vllm-openai:v0.9.0 --args='^;^--model=m;--enable-lora;--max-lora-rank=8'",
        "--image=x --command=python3,-m,vllm.entrypoints.openai.api_server --args=--model=m,--enable-lora,"
        "--max-lora-rank=8",
        "--container-image-uri=x/pytorch-vllm-serve:1 --container-command=vllm,serve,m "
        "--container-args=--enable-lora,--max-lora-rank=8",
    ],
)
def test_gcloud_s_arguments_are_joined_by_commas(arguments: str) -> None:
    text = f"gcloud run deploy llama --gpu=1 {arguments}\n"
    (server,) = find(text, "deploy.sh")
    assert rank(server, text) == "8"
    assert server.model is not None
    assert server.model.text == "m"
    assert not server.problems


def test_terraform_splits_a_text() -> None:
    args = 'split(",", "--model,m,--enable-lora,--max-lora-rank,8")'
    text = f'resource "google_cloud_run_v2_service" "a" {{ image = "vllm/vllm-openai:v0.9.0"\n args = {args} }}\n'
    (server,) = find(text, "main.tf")
    assert rank(server, text) == "8"
    assert not server.problems
