"""Images that turn environment variables (or properties) into vLLM's flags: NVIDIA NIM, SageMaker, RunPod."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as Variables
from collections.abc import Sequence as Words
from dataclasses import dataclass, field

from advisor.deploy.arguments import command
from advisor.deploy.arguments.insertions import SETTINGS
from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.values import read_value
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Adapter, Flag, Problem, Value
from advisor.deploy.syntax.tree import Scalar

NIM = {
    "NIM_MAX_GPU_LORAS": "max_loras",
    "NIM_MAX_CPU_LORAS": "max_cpu_loras",
    "NIM_MAX_LORA_RANK": "max_lora_rank",
    "NIM_KVCACHE_PERCENT": "gpu_memory_utilization",
    "NIM_MAX_MODEL_LEN": "max_model_len",
    "NIM_TENSOR_PARALLEL_SIZE": "tensor_parallel_size",
}
LMI = {
    "max_rolling_batch_size": "max_num_seqs",
    "max_rolling_batch_prefill_tokens": "max_num_batched_tokens",
    "tensor_parallel_degree": "tensor_parallel_size",
    "model_id": "model",
}
"""Options of LMI that have names of their own; the others are vLLM's."""
_LMI_ENGINES = ("vllm", "lmi-dist", "auto", "disable", "")
_RUNPOD_IMAGE = re.compile(r"worker-(?:v\d+-)?vllm|runpod/.*vllm")
_ON = ("true", "1", "yes", "on")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a wrapper passes to vLLM."""

    wrapper: str
    flags: tuple[Flag, ...]
    names: dict[str, str]
    """The wrapper's own name of each setting."""
    words: Words[Word] = ()
    adapters: tuple[Adapter, ...] = ()
    problems: tuple[Problem, ...] = ()
    model: Value | None = None
    defaults: dict[str, str] = field(default_factory=dict)


def read(variables: Variables[str, Scalar], image: str = "", around: str = "") -> Wrapped | None:
    """What these variables have a wrapper pass to vLLM; None if they are no wrapper's."""
    for reader in (_nim, _lmi, _sagemaker, _runpod):
        found = reader(variables, image, around)
        if found is not None:
            return found
    return None


def properties(options: Variables[str, Scalar]) -> Wrapped | None:
    """LMI's `option.max_loras` and the like, by their names behind the dot."""
    return _options(options, "option.")


def _nim(variables: Variables[str, Scalar], image: str, around: str) -> Wrapped | None:  # noqa: ARG001
    signs = ("NIM_PEFT_SOURCE", "NIM_PASSTHROUGH_ARGS", "NIM_MAX_GPU_LORAS", "NIM_MAX_CPU_LORAS", "NIM_MAX_LORA_RANK")
    if not any(sign in variables for sign in signs):
        return None
    flags, problems = _flags({name: setting for name, setting in NIM.items() if name in variables}, variables, "")
    passed = variables.get("NIM_PASSTHROUGH_ARGS")
    words = _passed(passed) if passed else []
    defaults = {"max_loras": "8", "max_cpu_loras": "16", "max_lora_rank": "32"}
    if "NIM_PEFT_SOURCE" in variables:
        defaults["enable_lora"] = "True"
    model = variables.get("NIM_MODEL_NAME")
    names = {setting: name for name, setting in NIM.items() if setting in SETTINGS}
    return Wrapped("NIM", flags, names, words, (), problems, model.value if model else None, defaults)


def _lmi(variables: Variables[str, Scalar], image: str, around: str) -> Wrapped | None:  # noqa: ARG001
    options = {
        name.removeprefix("OPTION_").lower(): value for name, value in variables.items() if name[:7] == "OPTION_"
    }
    return _options(options, "OPTION_", variables)


def _options(
    options: Variables[str, Scalar], prefix: str, variables: Variables[str, Scalar] | None = None
) -> Wrapped | None:
    engine = options.get("rolling_batch") or options.get("engine")
    said = engine.text.strip().lower() if engine and not engine.unknown else ""
    if said not in _LMI_ENGINES and "python" not in said:
        return None
    names = {key: LMI.get(key) or (spelling.name if (spelling := setting(key)) else "") for key in options}
    known = {key: name for key, name in names.items() if name and key not in ("engine",)}
    if not command.speaks_vllm(list(known.values()), sure=True):
        return None
    spell = str.upper if prefix == "OPTION_" else str
    flags, problems = _flags(known, options, prefix, spell)
    model = options.get("model_id") or (variables or {}).get("HF_MODEL_ID")
    own = {setting: key for key, setting in LMI.items()}
    spelled = {name: prefix + spell(own.get(name, name)) for name in SETTINGS}
    defaults = {"max_loras": "4"}
    return Wrapped("LMI", flags, spelled, (), (), problems, model.value if model else None, defaults)


def _sagemaker(variables: Variables[str, Scalar], image: str, around: str) -> Wrapped | None:  # noqa: ARG001
    prefix = "SM_VLLM_"
    return _upper({name: value for name, value in variables.items() if name.startswith(prefix)}, prefix, "SageMaker")


def _runpod(variables: Variables[str, Scalar], image: str, around: str) -> Wrapped | None:
    names = [spelling.name for name in variables if name.isupper() and (spelling := setting(name.lower()))]
    sure = bool(_RUNPOD_IMAGE.search(image)) or "vllm" in (image + around).lower()
    if command.other(image) or not command.speaks_vllm(names, sure=sure):
        return None
    if not sure and "MODEL_NAME" not in variables and not set(names) & {"enable_lora", "max_lora_rank"}:
        return None
    found = _upper(variables, "", "RunPod worker")
    if found is None:
        return None
    model = variables.get("MODEL_NAME")
    defaults = {"gpu_memory_utilization": "0.95", "max_num_seqs": "256"}
    adapters = _modules(variables.get("LORA_MODULES"))
    return Wrapped(found.wrapper, found.flags, found.names, (), adapters, found.problems,
                   model.value if model else found.model, defaults)  # fmt: skip


def _upper(variables: Variables[str, Scalar], prefix: str, wrapper: str) -> Wrapped | None:
    """Variables that are vLLM's names in capitals."""
    known = {
        name: spelling.name
        for name in variables
        if name.isupper()
        and (spelling := setting(name.removeprefix(prefix).lower()))
        and spelling.name != "lora_modules"
    }
    if not known:
        return None
    flags, problems = _flags(known, variables, "")
    model = next((flag.value for flag in reversed(flags) if flag.name == "model"), None)
    return Wrapped(wrapper, flags, {name: prefix + name.upper() for name in SETTINGS}, (), (), problems, model)


def _flags(
    known: Variables[str, str], values: Variables[str, Scalar], prefix: str, spell: type[str] | object = str
) -> tuple[tuple[Flag, ...], tuple[Problem, ...]]:
    """The flags of variables whose settings are known, and what vLLM does not take of their values."""
    flags: list[Flag] = []
    problems: list[Problem] = []
    for key, name in known.items():
        scalar = values[key]
        spelled = prefix + (spell(key) if callable(spell) else key)
        flag, problem = flag_of(name, scalar, spelled)
        flags += [flag] if flag else []
        problems += [problem] if problem else []
    return tuple(flags), tuple(problems)


def flag_of(name: str, scalar: Scalar, spelled: str) -> tuple[Flag | None, Problem | None]:
    """What a wrapper or a keyword argument makes of a value; no flag where it says nothing."""
    spelling = setting(name)
    place = scalar.place
    if scalar.kind == "null" or (not scalar.text.strip() and not scalar.unknown):
        return None, None
    if spelling is not None and spelling.type == "switch":
        if scalar.unknown:
            return Flag(name, scalar.value, spelled, place), None
        on = scalar.text.strip().lower() in _ON
        return Flag(name, None if on else Value("False", place, quote=scalar.quote), spelled, place), None
    value, problem = read_value(name, scalar.value, spelled)
    return Flag(name, value, spelled, place), problem


def _passed(scalar: Scalar) -> list[Word]:
    """The words of a variable that holds arguments."""
    if scalar.unknown:
        return [Word(scalar.source, scalar.unknown, scalar.quote, splits=True)]
    return command.split(scalar.source)


def _modules(scalar: Scalar | None) -> tuple[Adapter, ...]:
    """Adapters as JSON, one or a list."""
    if scalar is None or scalar.unknown:
        return ()
    try:
        document = json.loads(scalar.text)
    except (ValueError, RecursionError):
        return ()
    adapters = document if isinstance(document, list) else [document]
    return tuple(
        Adapter(each["name"], path if isinstance(path := each.get("path"), str) else None, scalar.place)
        for each in adapters
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    )
