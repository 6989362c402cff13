"""The command line of `vllm serve`, as vLLM 0.32's own parser reads it.

That is argparse over flags whose underscores count as dashes, with a model in front and a configuration file put in
behind it. The readers of all formats hand their argument lists to `read_arguments`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files

from advisor.deploy.deployment import Adapter, Flag, Place, Problem, Value
from advisor.deploy.source import Source
from advisor.nearest import nearest

VERSION = "0.32"
"""Whose parser this is."""

ENTRYPOINTS = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main")
"""Modules that `python -m` starts a server with: the second wants `serve` behind it."""

_OTHERS = ("unknown-flag", "extra-argument", "ambiguous-flag")
"""Problems with what may be a wrapper's own."""
MAX_HINTS = 10
"""Unknown flags for which the nearest known one is looked for, which takes some milliseconds each."""

_LEAST: dict[str, float] = {
    "max_loras": 1,
    "max_num_seqs": 1,
    "max_num_batched_tokens": 1,
    "max_model_len": -1,
    "gpu_memory_utilization": 0,
    "tensor_parallel_size": 1,
}
"""What vLLM checks behind its parser, of the settings that matter here."""
_CHOICES: dict[str, Sequence[str]] = {"max_lora_rank": ("1", "8", "16", "32", "64", "128", "256", "320", "512")}
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_SCALE = {letter: 1000**power for power, letter in enumerate("kmgt", 1)}
_SCALE |= {letter: 1024**power for power, letter in enumerate("KMGT", 1)}
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_EXTRA = re.compile(r"[@*]|arg|opt|flag|extra|param", re.IGNORECASE)
"""Names of variables that hold arguments rather than one value."""


@dataclass(frozen=True, slots=True)
class Word:
    """One item of an argument list."""

    source: Source
    """The word as the process gets it; what is not known stands in it as it is written."""
    unknown: str = ""
    """What it depends on, if it is not wholly known: "$SLOTS", "{{ .Values.slots }}"; stands in the text."""
    quote: str = ""
    splits: bool = False
    """Whether blanks separate words where it stands, as in a shell without quotes: then an unknown one may be many."""

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def known(self) -> str:
        """The text up to what is not known."""
        at = self.text.find(self.unknown) if self.unknown else -1
        return self.text if not self.unknown else self.text[: max(at, 0)]

    @property
    def place(self) -> Place:
        return self.source.whole

    def value(self, start: int = 0) -> Value:
        """The word from there on, as a value."""
        place = self.source.part(start, len(self.text)).whole if start else self.place
        if self.unknown:
            return Value(None, place, self.unknown, self.quote)
        return Value(self.text[start:], place, quote=self.quote)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A flag that vLLM knows."""

    name: str
    """Of the setting: max_loras."""
    options: tuple[str, ...]
    """--max-loras; of a switch --enable-lora and --no-enable-lora."""
    type: str
    """switch, int, float, tokens (128k), tokens-or-auto, text, json."""
    or_none: bool = False
    """Whether "None" and an empty text mean that it is not set."""
    many: bool = False
    may_have: bool = False
    """Whether it may stand alone, although it is no switch."""
    former: bool = False
    """Whether only earlier releases know it."""
    absent: str = ""
    """The last release before it came; empty where the oldest that counts has it."""


@dataclass(slots=True)
class Arguments:
    """What an argument list says."""

    flags: list[Flag] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    adapters: list[Adapter] = field(default_factory=list)
    model: Value | None = None
    open: bool = False
    """Whether it holds words that are not known and may be further flags: nothing is said of what is missing."""

    def problem(self, code: str, message: str, place: Place, replacement: str | None = None) -> None:
        self.problems.append(Problem(code, message, place, replacement))


ReadConfig = Callable[[str], "Sequence[tuple[str, Sequence[Word]]] | None"]
"""Reads a file named by `--config`: each key with its words, as vLLM makes them flags; None if it is not there."""


def read_arguments(
    words: Sequence[Word], *, serve: bool = True, own: bool = True, config: ReadConfig | None = None
) -> Arguments:
    """Read the words behind `vllm serve`, or (`serve` false) behind `python -m vllm.entrypoints.openai.api_server`.

    Those of a wrapper (`own` false) may be flags of its own as well, and no mistakes.
    """
    found = Arguments()
    words = _front(list(words), found) if serve else list(words)
    words = _with_config(words, found, config, serve)
    _Reader(words, found).read()
    if not own:
        found.problems = [problem for problem in found.problems if problem.code not in _OTHERS]
    return found


def setting(name: str) -> Spelling | None:
    """The flag of a name in any of its spellings: max-loras, --max_loras, maxLoras is for the readers of charts."""
    options, _ = spellings()
    return options.get("--" + name.removeprefix("--").replace("_", "-"))


def read_value(name: str, value: Value, spelled: str) -> tuple[Value, Problem | None]:
    """A setting's value as vLLM takes it (128k is 128000), and why it does not, if it does not."""
    spelling = setting(name)
    if spelling is None or value.text is None:
        return value, None
    try:
        return replace(value, text=_converted(spelling, value.text)), None
    except ValueError as error:
        return value, Problem("invalid-value", f"{spelled} {value.text}: {error}; vLLM does not start", value.place)


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
                    f"--lora-modules {_short(text)} is one word, and all behind the first = a path that is not there: "
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
                f"--lora-modules {_short(text)}: vLLM takes what has a comma for JSON and does not start; "
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
                f"--lora-modules takes every word up to the next flag, and {_short(text)} is neither name=path nor "
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
            f"--lora-modules {_short(text)}: neither name=path nor a JSON object; vLLM does not start",
            word.place,
        )
    elif wrong := [key for key in ("name", "path") if key not in document] or [
        key for key in document if key not in ("name", "path", "base_model_name", "is_3d_lora_weight")
    ]:
        what = "no" if wrong[0] not in document else "an unknown key,"
        found.problem(
            "lora-modules-swallow-model",
            f"--lora-modules {_short(text)} has {what} {wrong[0]!r}; vLLM does not start",
            word.place,
        )
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            source = each.get("path")
            found.adapters.append(Adapter(each["name"], source if isinstance(source, str) else None, word.place))


def _front(words: list[Word], found: Arguments) -> list[Word]:
    """As `vllm serve` does: the value of the first `--model` becomes the first word."""
    at = next((i for i, word in enumerate(words) if re.match(r"--model(=.+|$)", word.text, re.DOTALL)), None)
    if at is not None:
        if words[at].text != "--model":
            start = len("--model=")
            model = replace(words[at], source=words[at].source.part(start, len(words[at].text)))
            return [model, *words[:at], *words[at + 1 :]]
        if at + 1 < len(words):
            return [words[at + 1], *words[:at], *words[at + 2 :]]
    elif (
        words
        and words[0].text.startswith("-")
        and not any(re.match(r"--config(=|$)", word.text) for word in words)
        and (served := next((w for w in words if re.match(r"--served[-_]model[-_]name(=|$)", w.text)), None))
    ):
        found.problem(
            "model-not-first",
            "with --served-model-name the model has to be the first word behind `vllm serve`: vLLM does not start",
            served.place,
        )
    return words


def _with_config(words: list[Word], found: Arguments, config: ReadConfig | None, serve: bool) -> list[Word]:
    """The words with those of the file in place of `--config FILE`, before all others but the model."""
    for word in words:
        if word.text.startswith("--config="):
            found.problem(
                "config-equals",
                f"{_short(word.text)} is accepted and not read, only `--config FILE` in two words is: "
                "no flag of the file applies",
                word.place,
                word.text.replace("=", " ", 1) if word.splits and not word.quote else None,
            )
    named = [i for i, word in enumerate(words) if word.text == "--config"]
    if not named:
        return words
    at = named[0]
    if len(named) > 1:
        found.problem("config-twice", "--config twice: vLLM does not start", words[named[1]].place)
    if at + 1 == len(words):
        found.problem("missing-value", "--config without a file: vLLM does not start", words[at].place)
        return words[:at]
    file = words[at + 1]
    rest = [*words[:at], *words[at + 2 :]]
    if not file.unknown and file.text.rpartition(".")[2] not in ("yaml", "yml"):
        found.problem(
            "config-suffix", f"--config {file.text}: vLLM takes .yaml and .yml, and does not start", file.place
        )
        return rest
    entries = config(file.text) if config and not file.unknown else None
    if entries is None:
        found.open = True
        found.problem("unknown-config", f"--config {_short(file.text)}: what this file sets is not known", file.place)
        return rest
    behind = 1 if serve and rest and not rest[0].text.startswith("-") else 0
    if behind == 0 and serve:
        model = next((i for i, (key, values) in enumerate(entries) if key == "model" and values), None)
        if model is not None:
            rest, behind = [*entries[model][1][1:2], *rest], 1  # without its flag
            entries = [*entries[:model], *entries[model + 1 :]]
    flags = [word for _, values in entries for word in values]
    return [*rest[:behind], *flags, *rest[behind:]]


class _Reader:
    """Argparse's way through the words."""

    def __init__(self, words: Sequence[Word], found: Arguments, *, wants_model: bool = True) -> None:
        self.words = words
        self.found = found
        self.at = 0
        self.only_values = False
        """Whether `--` has been met: no flags behind it."""
        self.wants_model = wants_model
        self.hints = 0

    def read(self) -> None:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word.text == "--" and not self.only_values:
                self.only_values = True
            elif self._is_flag(word):
                self._flag(word)
            else:
                self._value(word)

    def _is_flag(self, word: Word) -> bool:
        """Whether argparse takes a word for a flag, known or not: else it is a value."""
        text = word.known if word.unknown else word.text
        if self.only_values or not text.startswith("-") or text == "-":
            return False
        if _matches(_normal(text.partition("=")[0])):
            return True
        return not _NUMBER.fullmatch(text) and " " not in text

    def _value(self, word: Word) -> None:
        """A word that belongs to no flag: the model, or nothing that vLLM knows."""
        found = self.found
        if inside := _one_item(word):
            found.problem(
                "flag-and-value-in-one-item",
                f'"{_short(word.text)}" reaches vLLM as one word, an unrecognized argument: the server does not start; '
                "write --flag=value, or two items",
                word.place,
                "=".join(inside) if len(inside) == 2 and not word.unknown else None,
            )
            # Taken for what was meant, so that the rest of the list is judged beside it.
            _Reader(split(word), found, wants_model=False).read()
        elif word.unknown and not (self.wants_model and not _EXTRA.search(word.unknown)):
            found.open = True
            found.problem("unknown-arguments", f"what {word.unknown} holds is not known here", word.place)
        elif self.wants_model:
            self.wants_model = False
            found.model = found.model or word.value()
        else:
            what = f"{_short(word.text)} belongs to no flag" if word.text.strip() else "an empty word"
            found.problem("extra-argument", f"{what}: unrecognized argument, vLLM does not start", word.place)

    def _flag(self, word: Word) -> None:
        found = self.found
        written = word.known if word.unknown else word.text
        option, equals, explicit = written.partition("=")
        normal = _normal(option)
        matches = _matches(normal)
        place = word.source.part(0, len(option)).whole
        if word.unknown and not equals:
            found.open = True
            found.problem("unknown-arguments", f"which flag {_short(word.text)} is, is not known here", word.place)
        elif not matches:
            self._unknown_flag(option, place)
        elif len(matches) > 1:
            names = ", ".join(each.options[0] for each in matches[:6])
            found.problem("ambiguous-flag", f"{option} could be {names}: ambiguous, vLLM does not start", place)
        elif "." in normal:  # a key of a JSON object: --override-generation-config.temperature 1
            self.at += not equals
        elif matches[0].type == "switch":
            self._switch(matches[0], word, option, explicit if equals else None)
        else:
            rest = [replace(word, source=word.source.part(len(option) + 1, len(word.text)))] if equals else []
            self._take(matches[0], option, place, rest or self._values(matches[0].many))

    def _values(self, many: bool) -> list[Word]:
        values: list[Word] = []
        while self.at < len(self.words) and (many or not values):
            word = self.words[self.at]
            if self._is_flag(word) or (word.text == "--" and not self.only_values):
                break
            if many and (_one_item(word) or (values and word.unknown and not word.known and word.splits)):
                break  # a flag, or what may be flags as well
            values.append(word)
            self.at += 1
        return values

    def _take(self, spelling: Spelling, option: str, place: Place, words: Sequence[Word]) -> None:
        found = self.found
        if not words:
            if not spelling.may_have:
                found.problem("missing-value", f"{option} without a value: vLLM does not start", place)
            return
        value = words[0].value()
        if spelling.many:
            if not any(word.unknown for word in words):
                value = replace(value, text=" ".join(word.text for word in words))
        else:
            value, problem = read_value(spelling.options[0], value, option)
            found.problems += [problem] if problem else []
        if spelling.name == "model":
            found.model = value
        found.flags.append(Flag(spelling.name, value, option, place))
        if spelling.name == "lora_modules":
            if found.adapters:
                lost = ", ".join(adapter.name for adapter in found.adapters)
                found.problem(
                    "lora-modules-twice",
                    f"{option} twice: the last list counts, not the one with {_short(lost)}",
                    place,
                )
            found.adapters.clear()
            read_adapters(words, found)

    def _switch(self, spelling: Spelling, word: Word, option: str, explicit: str | None) -> None:
        """A switch; with a value, which it does not take, it is taken for what was meant."""
        on = not _turns_off(spelling, _normal(option))
        place = word.source.part(0, len(option)).whole
        extra = self.words[self.at] if self.at < len(self.words) else None
        if explicit is not None:
            on = on != (explicit.strip().lower() in _OFF)
            wanted = [each for each in spelling.options if _turns_off(spelling, each) != on and each.startswith("--")]
            self.found.problem(
                "switch-with-value",
                f"{option} takes no value: ignored explicit argument, vLLM does not start",
                word.place,
                wanted[0] if wanted and not word.unknown else None,
            )
        elif extra and not extra.unknown and extra.text.lower() in _ON + _OFF:
            self.at += 1
            on = on != (extra.text.lower() in _OFF)
            self.found.problem(
                "switch-with-value",
                f"{option} takes no value: {extra.text} is an unrecognized argument, vLLM does not start",
                extra.place,
            )
        self.found.flags.append(Flag(spelling.name, None if on else Value("False", place), option, place))

    def _unknown_flag(self, option: str, place: Place) -> None:
        options, _ = spellings()
        self.hints += 1
        meant = _meant(option) if self.hints <= MAX_HINTS else None
        hint = f"; {meant}?" if meant else ""
        letters = re.sub(r"[-_]", "", option).lower()
        sure = meant is not None and letters == meant.replace("-", "")
        self.found.problem(
            "unknown-flag", f"{option} is no flag of vLLM {VERSION}{hint}", place, meant if sure else None
        )
        if meant and options[meant].type == "switch":
            return
        # What follows is its value, rather than the model.
        if self.at < len(self.words) and not self._is_flag(self.words[self.at]) and not self.words[self.at].unknown:
            self.at += 1


@lru_cache(maxsize=1024)
def _meant(option: str) -> str | None:
    """The flag of this version that a spelling is nearest to."""
    return nearest(option, spellings()[1])


def split(word: Word) -> list[Word]:
    """A word at its blanks, as a variable that holds arguments is read."""
    parts = [replace(word, source=word.source.part(*match.span())) for match in re.finditer(r"\S+", word.text)]
    return [part if part.unknown in part.text else replace(part, unknown="") for part in parts]


def _one_item(word: Word) -> list[str]:
    """The parts of a word that is a flag and more, with blanks between; none of one that is not."""
    parts = word.text.split(maxsplit=1) if word.text.startswith("-") else []
    return parts if parts and parts[0] != word.text and _matches(_normal(parts[0].partition("=")[0])) else []


def _turns_off(spelling: Spelling, option: str) -> bool:
    """Whether a switch's spelling, or the beginning of one, is that with no- in front."""
    return option.startswith("--no-") and not spelling.options[0].startswith(option)


def _normal(option: str) -> str:
    """With dashes for underscores, as far as the first dot."""
    if not option.startswith("--"):
        return option
    head, dot, tail = option.partition(".")
    return head.replace("_", "-") + dot + tail


@lru_cache(maxsize=4096)
def _matches(option: str) -> tuple[Spelling, ...]:
    """The flags that a spelling may be: the one that is it, or those that begin with it."""
    options, names = spellings()
    base = option.partition(".")[0] if option.startswith("--") else option
    if base in options:
        return (options[base],)
    if not option.startswith("-") or len(option) < 2:
        return ()
    found: dict[str, Spelling] = {}
    for name in names:
        if name.startswith(base) or (name == base[:2] and not base.startswith("--")):
            # --no-enable-lora and --enable-lora are one flag, but argparse tells their beginnings apart.
            found[name] = options[name]
    return tuple(found.values())


@cache
def spellings() -> tuple[dict[str, Spelling], tuple[str, ...]]:
    """Every option string to its flag; and those of this version, whose beginnings count too."""
    options: dict[str, Spelling] = {}
    for line in files(__package__).joinpath("vllm_flags.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        names, _, reading = line.partition(" : ")
        type_, *marks = reading.split()
        strings = tuple(names.split())
        spelling = Spelling(
            strings[0][2:].replace("-", "_"),
            strings,
            type_,
            or_none="or-none" in marks,
            many="many" in marks,
            may_have="may-have" in marks,
            former="former" in marks,
            absent=next((mark.removeprefix("absent=") for mark in marks if mark.startswith("absent=")), ""),
        )
        options.update(dict.fromkeys(strings, spelling))
    return options, tuple(name for name, spelling in options.items() if not spelling.former)


def _converted(spelling: Spelling, text: str) -> str:
    """The text of a value as vLLM reads it.

    Raises:
        ValueError: it does not; the message says why.
    """
    if spelling.or_none and text in ("", "None"):
        return "None"
    if spelling.type in ("int", "tokens", "tokens-or-auto"):
        if spelling.type == "tokens-or-auto" and text.strip().lower() in ("-1", "auto"):
            return "-1"
        number: float = _whole(text) if spelling.type == "int" else _tokens(text)
    elif spelling.type == "float":
        try:
            number = float(text)
        except ValueError:
            raise ValueError("no number") from None
    else:
        return text
    least = _LEAST.get(spelling.name)
    if least is not None and number < least:
        raise ValueError(f"less than {least:g}")
    if spelling.name == "gpu_memory_utilization" and not 0 < number <= 1:
        raise ValueError("not above 0 and at most 1")
    read = str(number)
    if spelling.name in _CHOICES and read not in _CHOICES[spelling.name]:
        raise ValueError(f"none of {', '.join(_CHOICES[spelling.name])}")
    return read if spelling.type != "float" else text.strip()


def _whole(text: str) -> int:
    if len(text) > 100:
        raise ValueError("no whole number")
    try:
        return int(text)
    except ValueError:
        raise ValueError("no whole number") from None


def _tokens(text: str) -> int:
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kKmMgGtT])", text.strip())
    if not match:
        return _whole(text)
    number, letter = match.groups()
    if letter.isupper() and "." in number:
        raise ValueError(f"no decimals before {letter} (1,024s); {number}{letter.lower()} would be 1,000s")
    return int(number) * _SCALE[letter] if letter.isupper() else int(float(number) * _SCALE[letter])


def _short(text: str) -> str:
    """Text for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."
