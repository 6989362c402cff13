"""The command line of `vllm serve`, as vLLM 0.32's own parser reads it.

That is argparse over flags whose underscores count as dashes, with a model in front and a configuration file put in
behind it. The readers of all formats hand their argument lists to `read_arguments`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from advisor.deploy.arguments.argument_list import Arguments
from advisor.deploy.arguments.config_file import ReadConfig, model_first, with_config
from advisor.deploy.arguments.lora_modules import read_adapters
from advisor.deploy.arguments.spellings import (
    VERSION,
    Spelling,
    candidates,
    nearest_flag,
    spellings,
    turns_off,
    with_dashes,
)
from advisor.deploy.arguments.values import read_value
from advisor.deploy.arguments.word import Word, short, split
from advisor.deploy.deployment import Flag, Place, Value

_OTHERS = ("unknown-flag", "extra-argument", "ambiguous-flag")
"""Problems with what may be a wrapper's own."""
MAX_HINTS = 10
"""Unknown flags for which the nearest known one is looked for, which takes some milliseconds each."""
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_EXTRA = re.compile(r"[@*]|arg|opt|flag|extra|param", re.IGNORECASE)
"""Names of variables that hold arguments rather than one value."""


def read_arguments(
    words: Sequence[Word], *, serve: bool = True, own: bool = True, config: ReadConfig | None = None
) -> Arguments:
    """Read the words behind `vllm serve`, or (`serve` false) behind `python -m vllm.entrypoints.openai.api_server`.

    Those of a wrapper (`own` false) may be flags of its own as well, and no mistakes.
    """
    found = Arguments()
    words = model_first(list(words), found) if serve else list(words)
    words = with_config(words, found, config, serve)
    _Reader(words, found).read()
    if not own:
        found.problems = [problem for problem in found.problems if problem.code not in _OTHERS]
    return found


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
        if candidates(with_dashes(text.partition("=")[0])):
            return True
        return not _NUMBER.fullmatch(text) and " " not in text

    def _value(self, word: Word) -> None:
        """A word that belongs to no flag: the model, or nothing that vLLM knows."""
        found = self.found
        if inside := _one_item(word):
            found.problem(
                "flag-and-value-in-one-item",
                f'"{short(word.text)}" reaches vLLM as one word, an unrecognized argument: the server does not start; '
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
            what = f"{short(word.text)} belongs to no flag" if word.text.strip() else "an empty word"
            found.problem("extra-argument", f"{what}: unrecognized argument, vLLM does not start", word.place)

    def _flag(self, word: Word) -> None:
        found = self.found
        written = word.known if word.unknown else word.text
        option, equals, explicit = written.partition("=")
        normal = with_dashes(option)
        matches = candidates(normal)
        place = word.source.part(0, len(option)).whole
        if word.unknown and not equals:
            found.open = True
            found.problem("unknown-arguments", f"which flag {short(word.text)} is, is not known here", word.place)
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
                    f"{option} twice: the last list counts, not the one with {short(lost)}",
                    place,
                )
            found.adapters.clear()
            read_adapters(words, found)

    def _switch(self, spelling: Spelling, word: Word, option: str, explicit: str | None) -> None:
        """A switch; with a value, which it does not take, it is taken for what was meant."""
        on = not turns_off(spelling, with_dashes(option))
        place = word.source.part(0, len(option)).whole
        extra = self.words[self.at] if self.at < len(self.words) else None
        if explicit is not None:
            on = on != (explicit.strip().lower() in _OFF)
            wanted = [each for each in spelling.options if turns_off(spelling, each) != on and each.startswith("--")]
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
        meant = nearest_flag(option) if self.hints <= MAX_HINTS else None
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


def _one_item(word: Word) -> list[str]:
    """The parts of a word that is a flag and more, with blanks between; none of one that is not."""
    parts = word.text.split(maxsplit=1) if word.text.startswith("-") else []
    return parts if parts and parts[0] != word.text and candidates(with_dashes(parts[0].partition("=")[0])) else []
