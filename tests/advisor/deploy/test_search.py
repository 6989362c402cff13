"""What a search of a tree takes for a server, and where it says that one stands."""

from __future__ import annotations

import pytest

from advisor.deploy.deployment import NotReadableError
from advisor.deploy.finder import find


@pytest.mark.parametrize("key", ["description", "summary", "message", "help"])
def test_what_people_read_starts_no_server(key: str) -> None:
    assert find(f"annotations: {{{key}: vllm serve has requests waiting; raise --max-loras}}\n", "rules.yaml") == []


def test_tensorrt_is_not_vllm() -> None:
    text = "backend: pytorch\nlora_config: {max_lora_rank: 8, max_loras: 2, max_cpu_loras: 4}\n"
    assert find(text + "kv_cache_config: {free_gpu_memory_fraction: 0.8}\n", "trt.yaml") == []
    assert len(find(text, "unknown.yaml")) == 1


def test_what_kserve_lacks_belongs_in_its_lora_section() -> None:
    text = """apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
spec:
  model:
    uri: hf://org/M
    name: M
    lora:
      adapters: [{name: a, uri: "hf://org/a"}]
"""
    (found,) = find(text, "llm.yaml")
    assert found.place.line == 7


FLAGS = "--enable-lora --max-loras 8"
SERVER = f"vllm serve M {FLAGS}"
HELD = {
    "Argo's script": "kind: Workflow\nspec: {templates: [{script: {image: i, command: [bash], "
    f"source: {SERVER}}}}}]}}\n",
    "a unit in cloud-init": f"write_files:\n- path: v.service\n  content: |\n    [Service]\n    ExecStart={SERVER}\n",
    "RunPod's template": 'env: [{key: MODEL_NAME, value: M}, {key: ENABLE_LORA, value: "true"}, '
    '{key: MAX_LORAS, value: "8"}]\n',
}


@pytest.mark.parametrize("text", HELD.values(), ids=HELD.keys())
def test_one_server_in_every_structure(text: str) -> None:
    (found,) = find(text, "a.yaml")
    flags = {flag.name: flag.value.text if flag.value else "on" for flag in found.flags if flag.name != "model"}
    assert flags == {"enable_lora": "on", "max_loras": "8"}


@pytest.mark.parametrize("name", ["Makefile", "serve.mk"])
def test_makefiles_are_read_as_the_commands_that_they_hold(name: str) -> None:
    (found,) = find(f"serve:\n\t{SERVER} \\\n\t\t--max-lora-rank 8\n", name)
    rank = found.flag("max_lora_rank")
    assert rank is not None and rank.value is not None
    assert (rank.value.text, rank.value.place.line) == ("8", 3)


def test_what_has_no_format_of_ours_is_not_broken() -> None:
    broken = 'name: "vllm"\na [ { kind: KIND_MODEL } ]\n\tb\n'
    assert find(broken, "config.pbtxt") == []
    for name in ("-", "a.yaml", "no-suffix"):
        with pytest.raises(NotReadableError):
            find(broken, name)
    with pytest.raises(NotReadableError, match="render"):
        find("args:\n{{- if .Values.lora }}\n- --enable-lora\n{{- end }}\n", "deployment.yaml.tpl")


POD = """kind: Pod
spec:
  containers:
    - image: vllm/vllm-openai
      args: [--model, M, --enable-lora]
      lifecycle: {postStart: {exec: {command: [sh, -c, "curl localhost:8000/v1/%s -d @a"]}}}
"""


@pytest.mark.parametrize(
    ("hole", "codes"), [("$(S)", []), ("${S}", ["invalid-value"]), ("$S", ["invalid-value"]), ("${T}", [])]
)
def test_kubernetes_puts_in_no_variables_of_a_shell(hole: str, codes: list[str]) -> None:
    pod = f"""apiVersion: v1
kind: Pod
spec:
  containers:
    - image: vllm/vllm-openai
      env: [{{name: S, value: "8"}}]
      args: [--model=M, "--max-loras={hole}"]
"""
    (found,) = find(pod, "pod.yaml")
    assert [problem.code for problem in found.problems] == codes
    assert all(pod[each.place.start : each.place.end] == hole for each in found.problems)
    (found,) = find(pod.replace('[--model=M, "', '[sh, -c, "vllm serve M '), "pod.yaml")
    assert found.problems == ()


def test_a_call_beside_a_server_loads_adapters() -> None:
    (found,) = find(POD % "load_lora_adapter", "pod.yaml")
    assert found.loader is not None and found.loader.place.line == 6
    (found,) = find(POD % "unload_lora_adapter", "pod.yaml")
    assert found.loader is None
