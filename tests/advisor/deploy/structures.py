"""One vLLM server written in every structure and spelling that deployment files have it in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import yaml
from hypothesis import strategies as st

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
IMAGE = "vllm/vllm-openai:v0.9.0"
Settings = dict[str, int | bool]
SETTINGS = st.fixed_dictionaries(
    {
        "enable_lora": st.just(value=True),
        "max_loras": st.integers(1, 999),
        "max_lora_rank": st.sampled_from([8, 16, 32, 64]),
    },
    optional={"max_cpu_loras": st.integers(1, 999), "max_num_seqs": st.integers(1, 4096)},
)


@dataclass(frozen=True)
class Style:
    """How a file is laid out."""

    flow: bool | None
    indent: int
    quote: str | None

    def dump(self, value: Any) -> str:
        return yaml.safe_dump(
            value,
            default_flow_style=self.flow,
            indent=self.indent,
            default_style=self.quote,
            sort_keys=False,
            width=999,
        )


STYLES = st.builds(Style, st.none() | st.booleans(), st.integers(2, 6), st.sampled_from([None, '"', "'"]))


def flags(settings: Settings, spelling: str) -> list[str]:
    """The settings as words of a command line."""
    words: list[str] = []
    for name, value in settings.items():
        flag = "--" + (name if spelling == "_" else name.replace("_", "-"))
        words += [flag] if value is True else [f"{flag}={value}"] if spelling == "=" else [flag, str(value)]
    return words


def kubernetes(settings: Settings, style: Style, spelling: str) -> str:
    container = {"name": "v", "image": IMAGE, "args": ["--model", MODEL, *flags(settings, spelling)]}
    return style.dump(resource("apps/v1", "Deployment", {"template": {"spec": {"containers": [container]}}}))


def resource(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "engine"}, "spec": spec}


def kubernetes_command(settings: Settings, style: Style, spelling: str) -> str:
    container = {"name": "v", "image": "own:1", "command": ["vllm", "serve", MODEL], "args": flags(settings, spelling)}
    pod = resource("v1", "Pod", {"containers": [container]})
    return style.dump({"apiVersion": "v1", "kind": "List", "items": [pod]})


def expanded(settings: Settings, style: Style, spelling: str) -> str:
    del spelling
    numbers = {name: value for name, value in settings.items() if value is not True}
    args = ["--enable-lora", *(f"--{name.replace('_', '-')}=$({name.upper()})" for name in numbers)]
    env = [{"name": name.upper(), "value": str(value)} for name, value in numbers.items()]
    container = {"name": "v", "image": IMAGE, "args": ["--model", MODEL, *args], "env": env}
    return style.dump(resource("apps/v1", "StatefulSet", {"template": {"spec": {"containers": [container]}}}))


def compose(settings: Settings, style: Style, spelling: str) -> str:
    service = {"image": IMAGE, "command": ["--model", MODEL, *flags(settings, spelling)]}
    return style.dump({"services": {"engine": service}})


def compose_text(settings: Settings, style: Style, spelling: str) -> str:
    service = {"image": IMAGE, "command": " ".join(["--model", MODEL, *flags(settings, spelling)])}
    return style.dump({"services": {"engine": service}})


def compose_defaults(settings: Settings, style: Style, spelling: str) -> str:
    del spelling
    words = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"=${{{name.upper()}:-{value}}}")
        for name, value in settings.items()
    ]
    service = {"image": IMAGE, "command": ["--model", MODEL, *words]}
    return style.dump({"services": {"engine": service}})


def compose_anchors(settings: Settings, style: Style, spelling: str) -> str:
    del style
    words = indent("\n".join(f"- {word!r}" for word in ["--model", MODEL, *flags(settings, spelling)]), "    ")
    return (
        f"x-engine: &engine\n  image: vllm/vllm-openai:v0.9.0\n  command:\n{words}\n"
        "services:\n  engine:\n    <<: *engine\n    ports: ['8000:8000']\n"
    )


def kubeai(settings: Settings, style: Style, spelling: str) -> str:
    spec = {"url": f"hf://{MODEL}", "engine": "VLLM", "args": flags(settings, spelling)}
    return style.dump(resource("kubeai.org/v1", "Model", spec))


def llm_d(settings: Settings, style: Style, spelling: str) -> str:
    container = {"name": "vllm", "image": "o/llm-d:1", "modelCommand": "vllmServe", "args": flags(settings, spelling)}
    return style.dump({"modelArtifacts": {"name": MODEL}, "decode": {"containers": [container]}})


def production_stack(settings: Settings, style: Style, spelling: str) -> str:
    own = {"max_loras": "maxLoras", "max_num_seqs": "maxNumSeqs"}
    config: dict[str, Any] = {own[name]: value for name, value in settings.items() if name in own}
    rest: Settings = {name: value for name, value in settings.items() if name not in own}
    config["extraArgs"] = flags(rest, spelling)
    return style.dump({"servingEngineSpec": {"modelSpec": [{"name": "m", "modelURL": MODEL, "vllmConfig": config}]}})


def unknown_chart(settings: Settings, style: Style, spelling: str) -> str:
    camel = {re.sub(r"_(\w)", lambda found: found[1].upper(), name): value for name, value in settings.items()}
    return style.dump({"backend": {"engine": {"model": MODEL, **(camel if spelling == "=" else settings)}}})


def chart_in_parts(settings: Settings, style: Style, spelling: str) -> str:
    camel = {re.sub(r"_(\w)", lambda found: found[1].upper(), name): value for name, value in settings.items()}
    lora = {"enabled": True, **{name: value for name, value in camel.items() if "Lora" in name and value is not True}}
    engine = {"gpuMemoryUtilization": 0.9, **{name: value for name, value in camel.items() if "Lora" not in name}}
    del spelling
    return style.dump({"modelName": MODEL, "vllm": engine, "lora": lora})


def vllm_config(settings: Settings, style: Style, spelling: str) -> str:
    names = {name: name.replace("_", "-") if spelling == "=" else name for name in settings}
    plain = Style(style.flow, style.indent, None)  # true in quotes is a text there
    return plain.dump({"model": MODEL} | {names[name]: value for name, value in settings.items()})


def ray(settings: Settings, style: Style, spelling: str) -> str:
    del spelling
    config = {"model_loading_config": {"model_id": MODEL}, "engine_kwargs": settings}
    return style.dump({"applications": [{"name": "a", "args": {"llm_configs": [config]}}]})


def ray_service(settings: Settings, style: Style, spelling: str) -> str:
    inner = ray(settings, Style(style.flow, style.indent, None), spelling)
    if style.quote:
        return Style(False, style.indent, style.quote).dump(
            resource("ray.io/v1", "RayService", {"serveConfigV2": inner})
        )
    return f"apiVersion: ray.io/v1\nkind: RayService\nspec:\n  serveConfigV2: |\n{indent(inner, '    ')}  x: 1\n"


def argo_cd(settings: Settings, style: Style, spelling: str) -> str:
    values = yaml.safe_load(production_stack(settings, style, spelling))
    spec = {"source": {"helm": {"valuesObject": values}}}
    return style.dump(resource("argoproj.io/v1alpha1", "Application", spec))


def llm_inference_service(settings: Settings, style: Style, spelling: str) -> str:
    own = {"max_loras": "maxAdapters", "max_lora_rank": "maxRank", "max_cpu_loras": "maxCpuAdapters"}
    lora = {own[name]: value for name, value in settings.items() if name in own}
    rest: Settings = {name: value for name, value in settings.items() if name not in own}
    container = {"name": "main", "args": flags(rest, spelling)}
    spec = {"model": {"name": MODEL, "lora": lora}, "template": {"containers": [container]}}
    return style.dump(resource("serving.kserve.io/v1alpha2", "LLMInferenceService", spec))


def dynamo(settings: Settings, style: Style, spelling: str) -> str:
    args = ["--model", MODEL, *flags(settings, spelling)]
    main = {"image": "o/vllm-runtime:1", "command": ["python3", "-m", "dynamo.vllm"], "args": args}
    services = {"Frontend": {"replicas": 1}, "Worker": {"extraPodSpec": {"mainContainer": main}}}
    return style.dump(resource("nvidia.com/v1alpha1", "DynamoGraphDeployment", {"services": services}))


def sagemaker(settings: Settings, style: Style, spelling: str) -> str:
    del spelling
    env = {f"OPTION_{name.upper()}": str(value).lower() for name, value in settings.items()}
    return style.dump(
        {"PrimaryContainer": {"Image": "djl-inference:lmi", "Environment": {"HF_MODEL_ID": MODEL, **env}}}
    )


def runpod(settings: Settings, style: Style, spelling: str) -> str:
    del spelling
    env = {name.upper(): str(value).lower() for name, value in settings.items()}
    return style.dump({"imageName": "runpod/worker-v1-vllm:v2", "env": {"MODEL_NAME": MODEL, **env}})


def terraform(settings: Settings, style: Style, spelling: str) -> str:
    del style
    words = ", ".join(json.dumps(word) for word in ["--model", MODEL, *flags(settings, spelling)])
    container = f'container {{\n  image = "{IMAGE}"\n  args = [{words}]\n}}'
    return f'resource "kubernetes_pod" "engine" {{\n  spec {{\n{indent(container, "    ")}\n  }}\n}}\n'


def terraform_variables(settings: Settings, style: Style, spelling: str) -> str:
    del style, spelling
    numbers = {name: value for name, value in settings.items() if value is not True}
    variables = "".join(f'variable "{name}" {{\n  default = {value}\n}}\n' for name, value in numbers.items())
    args = ", ".join(f'"--{name.replace("_", "-")}=${{var.{name}}}"' for name in numbers)
    base = f'locals {{\n  base = ["--model", "{MODEL}", "--enable-lora"]\n}}\n'
    task = f'[{{ image = "{IMAGE}", command = concat(local.base, [{args}]) }}]'
    return f'{variables}{base}resource "aws_ecs_task_definition" "e" {{\n  definitions = jsonencode({task})\n}}\n'


def properties(settings: Settings, style: Style, spelling: str) -> str:
    del style
    sign = " = " if spelling == "=" else ":" if spelling == "_" else "="
    lines = [f"option.{name}{sign}{str(value).lower()}\n" for name, value in settings.items()]
    return f"engine=Python\noption.model_id={MODEL}\n# slots\n" + "".join(lines)


def variables(settings: Settings, style: Style, spelling: str) -> str:
    quote = style.quote or ""
    export = "export " if spelling == "=" else ""
    lines = [f"{export}{name.upper()}={quote}{str(value).lower()}{quote}\n" for name, value in settings.items()]
    return f"# worker\nMODEL_NAME={MODEL}\n" + "".join(lines)


Writer = Callable[[Settings, Style, str], str]
IN_YAML = (
    *(
        kubernetes,
        kubernetes_command,
        expanded,
        compose,
        compose_text,
        compose_defaults,
        compose_anchors,
        kubeai,
        llm_d,
    ),
    *(
        production_stack,
        unknown_chart,
        chart_in_parts,
        vllm_config,
        ray,
        ray_service,
        argo_cd,
        llm_inference_service,
        dynamo,
    ),
    *(chart_in_parts, sagemaker, runpod),
)
STRUCTURES: dict[str, tuple[Writer, str]] = {
    **{writer.__name__: (writer, "yaml") for writer in IN_YAML},
    "terraform": (terraform, "tf"),
    "terraform_variables": (terraform_variables, "tf"),
    "properties": (properties, "properties"),
    "variables": (variables, "env"),
}
