"""The adapters that --lora-modules names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from advisor.deploy.arguments.argument_list import Arguments
from advisor.deploy.arguments.word import Word, short
from advisor.deploy.deployment import Adapter


def read_adapters(words: Sequence[Word], found: Arguments) -> None:
    """The items of `--lora-modules`: name=path, or a JSON object each."""
    for word in words:
        text = word.text
        if word.unknown and not _names_adapter(word):
            if not word.splits:
                continue
            found.problem("unknown-arguments", f"which adapters {word.unknown} names is not known", word.place)
        elif text in ("", "None"):
            continue
        elif "=" in text and "," not in text:
            name, _, path = text.partition("=")
            found.adapters.append(Adapter(name, None if word.unknown else path, word.place))
            if re.search(r"\s[\w.-]+=", path) and not word.unknown:
                found.problem(
                    "lora-modules-commas",
                    f"--lora-modules {short(text)} is one word, and all behind the first = a path that is not there: "
                    "vLLM does not start; one adapter a word",
                    word.place,
                )
        else:
            _read_json_adapter(word, found)


def _names_adapter(word: Word) -> bool:
    return "=" in word.known and "," not in word.text and not word.text.startswith("{")


def _read_json_adapter(word: Word, found: Arguments) -> None:
    text = word.text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        parts = [part for part in text.split(",") if part]
        if len(parts) > 1 and all("=" in part and not part.lstrip().startswith(("{", "[")) for part in parts):
            found.problem(
                "lora-modules-commas",
                f"--lora-modules {short(text)}: vLLM takes what has a comma for JSON and does not start; "
                "separate adapters by blanks",
                word.place,
                " ".join(part.strip() for part in parts) if word.splits and not word.quote else None,
            )
            for part in parts:
                name, _, path = part.partition("=")
                found.adapters.append(Adapter(name.strip(), path.strip(), word.place))
        else:
            found.problem(
                "lora-modules-swallow-model",
                f"--lora-modules takes every word up to the next flag, and {short(text)} is neither name=path nor "
                "JSON: vLLM does not start",
                word.place,
            )
        return
    if isinstance(document, list):
        found.problem(
            "lora-modules-commas",
            "--lora-modules takes JSON objects, one a word, and no list: vLLM does not start",
            word.place,
        )
    elif not isinstance(document, dict):
        found.problem(
            "lora-modules-swallow-model",
            f"--lora-modules {short(text)}: neither name=path nor a JSON object; vLLM does not start",
            word.place,
        )
    elif wrong := [key for key in ("name", "path") if key not in document] or [
        key for key in document if key not in ("name", "path", "base_model_name", "is_3d_lora_weight")
    ]:
        what = "no" if wrong[0] not in document else "an unknown key,"
        found.problem(
            "lora-modules-swallow-model",
            f"--lora-modules {short(text)} has {what} {wrong[0]!r}; vLLM does not start",
            word.place,
        )
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            source = each.get("path")
            found.adapters.append(Adapter(each["name"], source if isinstance(source, str) else None, word.place))
