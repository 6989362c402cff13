"""A vLLM server as the rules see it: what vLLM makes of the file's settings, known, unknown or left out."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property

from advisor.check.edit import insertion, replacement
from advisor.check.finding import Edit, Fix
from advisor.check.target import Target
from advisor.deploy.deployment import Deployment, Flag, Place
from advisor.derive.llm.model_name import bare
from twin.settings import LORA_RANKS

DEFAULTS: dict[str, int | float] = {"max_loras": 1, "max_lora_rank": 16}
"""What vLLM takes where nothing is said. The default of `max_cpu_loras` is `max_loras`."""
SETTINGS = (
    *("max_loras", "max_cpu_loras", "max_lora_rank"),
    *("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "max_model_len"),
)
"""The settings that decide how adapters are served, in vLLM's words."""
READABLE = ("max_model_len", "max_num_batched_tokens")
"""Settings for which vLLM takes 128k, too."""
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_NUMBER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*")
_FRACTION = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_IMAGE = re.compile(r"(?:^|/)vllm(?:-openai(?:-[a-z0-9]+)?|-cpu)?:v?([0-9]+\.[0-9]+(?:\.[0-9]+)?)")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_GPU = re.compile(
    r"(?<![a-z0-9])(gb?[23]00|[bh][23]?[12]00|h20|a100|a10g?|a30|a40|l40s?|l4|t4|v100|mi[23][0-9]{2}x?)(?![0-9])"
)
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


HIDING = (
    *("unknown-arguments", "unknown-config", "unknown-flag", "ambiguous-flag", "missing-value", "invalid-value"),
    *("config-equals", "config-suffix", "comment-after-backslash", "doubled-command", "null-value"),
)
"""Problems behind which a setting may be hidden that was meant: nothing is said of what is missing."""


def number(name: str, text: str) -> int | float | None:
    """What vLLM reads of a value; None where it is no such number."""
    text = text.strip()
    if name == "gpu_memory_utilization":
        return float(text) if _FRACTION.fullmatch(text) else None
    if name in READABLE and text[-1:] in _UNITS and _FRACTION.fullmatch(text[:-1]):
        amount = float(text[:-1]) * _UNITS[text[-1]]
        return int(amount) if text[-1].islower() or "." not in text else None
    return int(text) if _NUMBER.fullmatch(text) and len(text) < 20 else None


def gpu_family(text: str) -> str | None:
    """The GPU's name without its memory and form, as in "nvidia-h100-80gb-hbm3"; None where there is none."""
    found = _GPU.search(text.lower().replace("_", "-"))
    return found[1] if found else None


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparisons."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def in_range(name: str, value: float) -> bool:
    """Whether vLLM takes a number for a setting."""
    return 0 < value <= 1 if name == "gpu_memory_utilization" else value >= 1


def automatic(name: str, text: str) -> bool:
    """Whether vLLM finds the value by itself: newer versions take a max_model_len of "auto", or -1."""
    return name == "max_model_len" and text.strip().lower() in ("auto", "-1")


@dataclass(frozen=True, eq=False)
class Server:
    """One deployment beside what is known of its adapters."""

    deployment: Deployment
    text: str
    """Of the file."""
    target: Target | None = None
    """The inventory and what is recommended for it, where there is one."""
    vllm: str | None = None
    """The version that was asked for on the command line."""

    @property
    def title(self) -> str:
        """What to call it."""
        return self.deployment.name or self.deployment.kind

    @cached_property
    def partial(self) -> bool:
        """Whether what is missing may stand elsewhere, or was lost by a mistake that is told already."""
        return self.deployment.partial or any(problem.code in HIDING for problem in self.deployment.problems)

    def told(self, place: Place) -> bool:
        """Whether the reader has found something wrong there."""
        return any(
            problem.place.start <= place.start and place.end <= problem.place.end
            for problem in self.deployment.problems
        )

    def given(self, name: str) -> int | float | None:
        """The number that the file gives for a setting; None where it gives none, or none that can be known."""
        flag = self.deployment.flag(name)
        if flag is None or flag.value is None or flag.value.text is None:
            return None
        return None if automatic(name, flag.value.text) else number(name, flag.value.text)

    def takes(self, name: str) -> int | float | None:
        """The number that vLLM takes for a setting: the file's, or the default; None where that cannot be known."""
        if self.deployment.flag(name) is not None:
            return self.given(name)
        if self.partial:
            return None
        if name == "max_cpu_loras" and name not in self._defaults:
            return self.takes("max_loras")
        return self._defaults.get(name)

    @cached_property
    def _defaults(self) -> dict[str, int | float]:
        passed_on = {name: number(name, text) for name, text in self.deployment.defaults.items()}
        return DEFAULTS | {name: value for name, value in passed_on.items() if value is not None}

    @property
    def no_such_rank(self) -> bool:
        """Whether slots are asked for of a rank that vLLM has none of."""
        rank = self.given("max_lora_rank")
        return rank is not None and rank >= 1 and rank not in LORA_RANKS

    def says(self, name: str) -> str:
        """A setting as the file has it, with what vLLM makes of it: for messages."""
        flag = self.deployment.flag(name)
        if flag is None:
            whose = self.deployment.kind if name in self.deployment.defaults else "vLLM"
            return f"{name} {self.takes(name)} (not set, the default of {whose})"
        value = flag.value
        if value is None:
            return flag.spelled
        stands = f"{flag.spelled} {value.text}"
        if value.unknown:
            stands += f" (the default of {value.unknown})"
        earlier = [each for each in self.deployment.flags if each.name == name][:-1]
        if any(each.value is not None and each.value.text != value.text for each in earlier):
            first = earlier[-1]
            was = first.value.text if first.value else ""
            stands += (
                f" (given {len(earlier) + 1} times, the last counts)"
                if first.spelled == flag.spelled
                else f" (it comes after {first.spelled} {was} and wins over it)"
            )
        return stands

    def place(self, name: str) -> Place:
        """Where the value of a setting stands; where it is not set, the place that turns LoRA on, or the server's."""
        flag = self.deployment.flag(name) or self.deployment.flag("enable_lora")
        if flag is None:
            return self.deployment.place
        return flag.value.place if flag.value else flag.place

    @cached_property
    def lora(self) -> bool | None:
        """Whether LoRA is on; None where that cannot be known."""
        flag = self.deployment.flag("enable_lora")
        if flag is not None:
            return _switched(flag)
        if "enable_lora" in self.deployment.defaults:
            return self.deployment.defaults["enable_lora"].strip().lower() in _ON
        return None if self.partial else False

    @property
    def about_lora(self) -> list[Flag]:
        """Flags that only make sense with LoRA on."""
        return [flag for flag in self.deployment.flags if "lora" in flag.name and flag.name != "enable_lora"]

    @property
    def complete(self) -> bool:
        """Whether the file says all that decides how adapters are held: nothing is left to a default."""
        held = ("max_loras", "max_cpu_loras", "max_lora_rank")
        return self.lora is True and all(self.deployment.flag(name) for name in held)

    @property
    def serves_adapters(self) -> bool:
        """Whether LoRA is on or the file speaks of it."""
        return self.lora is not False or bool(self.about_lora or self.deployment.adapters)

    @cached_property
    def version(self) -> str | None:
        """vLLM's version, as the command line or the image's tag says."""
        if self.vllm:
            return self.vllm
        image = self.deployment.image
        found = _IMAGE.search(image.text) if image and image.text else None
        return found[1] if found else None

    def newer_than(self, version: str) -> bool:
        """Whether its vLLM is known to be newer than a version."""
        return self.version is not None and release(self.version)[:2] > release(version)[:2]

    @cached_property
    def same_model(self) -> bool | None:
        """Whether it serves the inventory's model; None where the file does not say it by name."""
        model = self.deployment.model
        if self.target is None or model is None or not model.text:
            return None
        name = model.text.removeprefix("hf://").rstrip("/").partition("@")[0].partition("?")[0]
        if self.target.pair.serves(name) or bare(name) == bare(self.target.pair.model):
            return True
        return False if _HUB_ID.fullmatch(name) and not name.startswith(".") else None

    @property
    def judged(self) -> Target | None:
        """The inventory, where this is a server for it."""
        if self.target is None or self.same_model is False or not self.serves_adapters:
            return None
        return self.target.unlimited if self.same_gpu is False else self.target

    @cached_property
    def same_gpu(self) -> bool | None:
        """Whether it runs on the inventory's kind of GPU; None where the file does not say, or in unknown words."""
        gpu = self.deployment.gpu
        if self.target is None or gpu is None or not gpu.text:
            return None
        ours, theirs = gpu_family(gpu.text), gpu_family(self.target.pair.gpu)
        return None if ours is None or theirs is None else ours == theirs

    @property
    def comparable(self) -> Target | None:
        """The inventory, where what its pair's models say is of such a server."""
        return None if self.same_gpu is False else self.judged

    def numbers(self) -> dict[str, int | float] | None:
        """What decides how adapters are served, as the file has it; None where that cannot be known."""
        found = {name: self.takes(name) for name in SETTINGS}
        known = {name: value for name, value in found.items() if value is not None}
        lost = [name for name in SETTINGS if name not in known and self._hides(name)]
        if "max_loras" not in known or "max_lora_rank" not in known or lost:
            return None
        if any(not in_range(name, value) for name, value in known.items()):
            return None
        known.setdefault("max_cpu_loras", known["max_loras"])
        return known

    def _hides(self, name: str) -> bool:
        flag = self.deployment.flag(name)
        if flag is None:
            return False
        text = flag.value.text if flag.value else None
        return text is None or not automatic(name, text)

    @cached_property
    def as_recommended(self) -> bool:
        """Whether its settings are those that are recommended, so that nothing better is known."""
        settings = self.target.recommendation.settings if self.target else None
        found = self.numbers()
        return settings is not None and found is not None and asdict(settings).items() >= found.items()

    def written(self, **values: int | float | str) -> Fix:
        """The fix that gives settings other values, each where it stands or where it belongs."""
        edits: list[Edit] = []
        for name, value in values.items():
            flag = self.deployment.flag(name)
            if flag is None:
                edit = insertion(self.deployment, name, value)
            else:
                edit = None if self._shared(flag) else replacement(self.text, flag, value)
            if edit is None:
                edits = []
                break
            edits.append(edit)
        return Fix(" and ".join(f"{self._spelled(name)} {value}" for name, value in values.items()), tuple(edits))

    def _shared(self, flag: Flag) -> bool:
        """Whether its value is another setting's as well, such as that of a variable that both name."""
        return any(
            other.name != flag.name and flag.value and other.value and other.value.place == flag.value.place
            for other in self.deployment.flags
        )

    def _spelled(self, name: str) -> str:
        flag, place = self.deployment.flag(name), self.deployment.insertion
        return flag.spelled if flag else place.names.get(name, name) if place else name


def _switched(flag: Flag) -> bool | None:
    if flag.value is None:
        return True
    if flag.value.text is None:
        return None
    text = flag.value.text.strip().lower()
    return True if text in _ON else False if text in _OFF else None
