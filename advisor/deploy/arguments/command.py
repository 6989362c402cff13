"""Where a vLLM server begins in a list of words, whatever starts it; and lists of words out of one text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.deploy.arguments.spellings import setting
from advisor.deploy.arguments.word import Word
from advisor.deploy.source import Source, joined

ENTRYPOINTS = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main")
"""Modules that `python -m` starts a server with: the second wants `serve` behind it."""
LOADS = "/v1/load_lora_adapter"
"""What is asked of a server to load one more adapter while it runs."""
SWITCH = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
SHELLS = frozenset(["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"])
_MODULES = {**dict.fromkeys(ENTRYPOINTS, ""), "vllm.entrypoints.api_server": "", "vllm": ""}
_WRAPPERS = frozenset(("dynamo.vllm", "huggingfaceserver"))
_MODULES |= dict.fromkeys(_WRAPPERS, "")
_NEEDS_SERVE = frozenset(("vllm.entrypoints.cli.main", "vllm"))
_BLANK = " \t\r\n"
_IMAGE_SERVES = re.compile(r"(?:^|/)(?:vllm-openai[\w.-]*|vllm-cpu[\w.-]*|vllm-cpu-release-repo)(?:[:@]|$)|^vllm/vllm")
_OTHER = re.compile(
    r"sglang|lmdeploy|text-generation|tgi|tensorrt|trtllm|triton|ollama|llama[.-]?cpp|chirpstack|lorawan|ttn|"
    r"axolotl|llama-?factory|unsloth|torchtune|trainer|finetun|fine-tun",
    re.IGNORECASE,
)
_NOT_VLLM = frozenset(
    (
        *("max_loras_per_batch", "lora_paths", "lora_backend", "mem_fraction_static"),
        *("lora_alpha", "lora_dropout", "lora_target", "lora_r", "learning_rate", "num_train_epochs"),
        *("finetuning_type", "peft_type", "model_name_or_path"),
        *("gradient_accumulation_steps", "per_device_train_batch_size", "output_dir"),
    )
)
"""Flags and keys of SGLang and of training, some of which share others with vLLM."""
LORA = frozenset(["enable_lora", "max_loras", "max_lora_rank", "max_cpu_loras", "lora_modules", "fully_sharded_loras"])
"""Settings that speak of vLLM's adapters, though SGLang has the first of them as well."""
OWN = (LORA - {"enable_lora"}) | frozenset(
    (
        *("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "max_model_len", "kv_cache_dtype"),
        *("enable_prefix_caching", "enable_chunked_prefill", "tensor_parallel_size", "served_model_name"),
        "enforce_eager",
    )
)
"""Settings that few but vLLM call so."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The arguments of a server in a longer list of words."""

    words: Sequence[Word]
    serve: bool
    """Whether it is `vllm serve`, which takes the model in front of the flags."""
    own: bool = True
    """Whether the words go to vLLM itself: a wrapper has flags of its own."""


def launched(words: Sequence[Word]) -> Launch | None:
    """The server that a list of words starts, with whatever comes before it left out; None if it starts none."""
    for at, word in enumerate(words):
        name = word.text.rpartition("/")[2]
        following = words[at + 1].text if at + 1 < len(words) else ""
        if following == "serve" and (name == "vllm" or "vllm" in word.unknown.lower()):
            return Launch(words[at + 2 :], True)
        if word.text == "-m" and following in _MODULES:
            if following not in _NEEDS_SERVE:
                return Launch(words[at + 2 :], False, following not in _WRAPPERS)
            if len(words) > at + 2 and words[at + 2].text == "serve":
                return Launch(words[at + 3 :], True)
        if word.text.endswith("vllm/entrypoints/openai/api_server.py"):
            return Launch(words[at + 1 :], False)
    return None


def script(words: Sequence[Word]) -> Word | None:
    """The text that a list of words has a shell run: of `bash -lc "…"` the last."""
    for at, word in enumerate(words[:-1]):
        if word.text.rpartition("/")[2] in SHELLS:
            behind = words[at + 1 : at + 10]  # a shell has few options
            option = next((i for i, each in enumerate(behind) if re.fullmatch(r"-[a-z]*c[a-z]*", each.text)), None)
            if option is not None and all(each.text[:1] in "-+" or each.text == "pipefail" for each in behind[:option]):
                rest = behind[option + 1 :]
                return rest[0] if rest else None
    return None


def serves(image: str) -> bool:
    """Whether an image starts a vLLM server by itself, so that its arguments are the server's."""
    return bool(_IMAGE_SERVES.search(image))


def other(text: str) -> bool:
    """Whether an image or a command is of another engine, of training or of LoRa radio."""
    return bool(_OTHER.search(text)) and "vllm" not in text.lower()


def speaks_vllm(names: Sequence[str], *, sure: bool = False) -> bool:
    """Whether settings of these names, in vLLM's spelling, are a vLLM server's: one does where the rest is `sure`."""
    found = set(names)
    if found & _NOT_VLLM:
        return False
    if sure:
        return bool(found & (OWN | LORA))
    return len(found & (OWN | LORA)) >= 2 and bool(found & OWN)


def flag_names(words: Sequence[Word]) -> list[str]:
    """The settings that the flags among words are spelled like, vLLM's or not."""
    names: list[str] = []
    for word in words:
        option = re.match(r"--([A-Za-z][\w-]*)", word.text)
        if option:
            known = setting(option[1])
            names.append(known.name if known else option[1].replace("-", "_"))
    return names


def split(source: Source) -> list[Word]:
    """The words of a text as a shell takes it apart, nothing being put in: compose's strings, lists in variables."""
    words: list[Word] = []
    text, at = source.text, 0
    while at < len(text):
        if text[at] in _BLANK:
            at += 1
            continue
        if text.startswith("\\\n", at):
            at += 2
            continue
        word, at = _word(source, at)
        words.append(word)
    return words


def _word(source: Source, at: int) -> tuple[Word, int]:
    text = source.text
    parts: list[Source] = []
    start, quote, first = at, "", text[at]
    while at < len(text) and (quote or text[at] not in _BLANK):
        character = text[at]
        if character == "\\" and quote != "'" and at + 1 < len(text):
            following = text[at + 1]
            if not quote or following in '"\\$`\n':
                parts.append(source.part(start, at))
                start = at + 2 if following == "\n" else at + 1
            at += 2
            continue
        if character == quote or (not quote and character in "'\""):
            parts.append(source.part(start, at))
            quote = "" if quote else character
            start = at + 1
        at += 1
    parts.append(source.part(start, max(start, at)))
    kept = [part for part in parts if part.text]
    whole = joined(kept) if len(kept) > 1 else kept[0] if kept else parts[0]
    return Word(replace(whole, line_break=None), quote=first if first in "'\"" else "", splits=True), at
