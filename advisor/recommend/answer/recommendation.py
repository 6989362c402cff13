"""What the advisor answers, whatever the format it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from advisor.recommend.answer.counted import Counted
from advisor.recommend.answer.outlook import Binding, Lever
from advisor.recommend.answer.reasons import Reason
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.server.host_memory import HostMemory
from advisor.recommend.server.lora_cost import WithoutLora
from advisor.zoo.basis import Basis
from twin.settings import Settings, arguments

RUNTIME = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
"""The switch without which vLLM loads no adapter while it runs."""


CAREFUL: Literal["the careful end"] = "the careful end"
MIDDLE: Literal["the middle"] = "the middle"
"""Of a pair that nobody measured: the server that nine of ten do no worse than, and the likeliest one."""

ITL_DIGITS, REFUSED_DIGITS, DIGITS = 2, 4, 1
"""Decimals in documents: of the mean ITL, of a share of requests, and of all other figures."""


@dataclass(frozen=True, slots=True)
class Further:
    """A flag that is no part of the answer, and what speaks for it and against it."""

    flag: str
    """As it is written: `--max-num-seqs=128`."""
    why: str


@dataclass(frozen=True, slots=True)
class Step:
    """One number of the answer and the rule that produced it."""

    output: str
    reasons: tuple[Reason, ...]
    """Conditions that held, with the inventory's own values in them."""
    result: int | float

    @property
    def rule(self) -> tuple[str, ...]:
        """The reasons as lines."""
        return tuple(map(str, self.reasons))


@dataclass(frozen=True, slots=True)
class Admission:
    """How many adapters one GPU serves, and which."""

    of: int
    """Adapters in the inventory."""
    request_rate: float
    """Requests/s of the admitted adapters."""
    token_rate: float
    """Offered tokens/s of the admitted adapters."""
    admitted: tuple[str, ...]
    rejected: tuple[str, ...]
    principle: str = ""
    """By what the rejected ones were chosen; empty where there are none."""
    base_request_rate: float = 0.0
    """Requests/s that name no adapter, beside those of the admitted ones."""
    base_token_rate: float = 0.0
    """Offered tokens/s of theirs."""
    idle: int = 0
    """Of the admitted adapters, those that are never asked."""
    idle_slot_rank: int = 0
    """The rank that slots have for theirs alone; 0 where those that are asked need no smaller slots."""

    @property
    def adapters(self) -> int:
        """Number of admitted adapters."""
        return len(self.admitted)

    @property
    def asked(self) -> int:
        """Number of admitted adapters that are asked."""
        return len(self.admitted) - self.idle

    def document(self) -> dict[str, Any]:
        """As plain data."""
        base = {"request_rate": round(self.base_request_rate, 6), "token_rate": round(self.base_token_rate, 3)}
        return {
            "adapters": self.adapters,
            "of": self.of,
            "request_rate": round(self.request_rate, 6),
            "token_rate": round(self.token_rate, 3),
            "admitted": list(self.admitted),
            "rejected": list(self.rejected),
            **({"base": base} if self.base_request_rate else {}),
            **({"idle": self.idle} if self.idle else {}),
            **({"principle": self.principle} if self.principle else {}),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """A setting in force today that the recommendation changes."""

    name: str
    today: int | float
    recommended: int | float | str


@dataclass(frozen=True, slots=True)
class Exact:
    """What the digital twin was asked when it searched the answer."""

    duration_s: float
    """How long every run is, s."""
    seeds: tuple[int, ...]
    """Of the runs that the answer held in."""
    orders: tuple[tuple[str, ...], ...]
    """Orders of admission: a run of so many adapters has the first ones of one of them, and those that are idle."""
    order: int
    """Number of the order that the answer follows."""
    runs: tuple[Mapping[str, Any], ...]
    """One after the other, as plain data."""
    interrupted: bool = False
    """Whether the search was ended before it was done."""

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **({"interrupted": True} if self.interrupted else {}),
            "seeds": list(self.seeds),
            "duration_s": self.duration_s,
            "order": self.order,
            "orders": [list(order) for order in self.orders],
            "runs": [dict(run) for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is not known for sure of a pair that nobody measured, and what that means for the answer."""

    up_to: int
    """Adapters that would be admitted if the estimate were right."""
    decisive: str
    """What matters most of what is not known."""
    measured_by: str
    """What would tell it."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest likely value of what is expected, by its name among measures."""

    @property
    def expected_of(self) -> Literal["the middle", "the careful end"]:
        """Which server is expected: the likeliest, or where the models say of that one that it does not start, the one
        that is admitted by, which nine of ten do no worse than."""
        return MIDDLE if self.ranges else CAREFUL

    def document(self) -> dict[str, str]:
        """As plain data."""
        ends = {"admitted_by": CAREFUL, "expected_of": self.expected_of}
        return {"decisive": self.decisive, "measured_by": self.measured_by, **ends}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Flags, admission and expectation, all of the same admitted set; or the reason why there are none."""

    basis: Basis
    """The pair that answers, and where it comes from."""
    settings: Settings | None
    """What the server is launched with; None when nothing is feasible."""
    flags: Mapping[str, int | float | str]
    """What has to be passed on, by vLLM's names: settings, and how the pair is run; empty when nothing is feasible."""
    admission: Admission
    expected: Expectation | None
    steady: bool
    """Whether the expectation is steady."""
    trace: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    """Why nothing is feasible."""
    changes: tuple[Change, ...] = ()
    """Settings in force today that the recommendation changes."""
    without_lora: WithoutLora | None = None
    """What serving the same traffic without LoRA would be like; None when nothing is feasible."""
    host_memory: HostMemory | None = None
    """What adapters take of the host's memory; None where nothing is feasible, or the model's shape is not known."""
    further: tuple[Further, ...] = ()
    """Flags that are no part of the answer and worth a thought."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that vLLM is started with, beside the flags."""
    exact: Exact | None = None
    """What the digital twin was asked, where it searched the answer."""
    objective: Objective | None = None
    """What was asked for."""
    binding: Binding | None = None
    """What keeps one GPU from serving more; None where nobody asked."""
    levers: tuple[Lever, ...] = ()
    """What would help most; empty where nobody asked, or nothing would."""
    verified: Mapping[str, Any] | None = None
    """What the digital twin measured under the recommended flags, when it was asked."""

    counted: Counted | None = None
    """What the rates rest on, where the inventory says that they were counted."""
    uncertainty: Uncertainty | None = None
    """Of a derived pair, how far the answer may be off; None where the pair was measured."""

    @property
    def feasible(self) -> bool:
        """Whether there is a configuration at all."""
        return self.settings is not None

    @property
    def disproved(self) -> bool:
        """Whether the digital twin found the objective missed, by the middle of a pair or at the careful end."""
        if self.verified is None:
            return False
        return bool(self.verified["missed"] or self.verified.get("careful_end", {}).get("missed"))

    @property
    def args(self) -> list[str]:
        """Arguments of `vllm serve`; empty when nothing is feasible."""
        return arguments(self.flags) if self.flags else []

    def figures(self) -> dict[str, Any]:
        """The expectation as plain data, nothing of it rounded: whoever tells it rounds it, once; empty when nothing is
        feasible."""
        if self.expected is None:
            return {}
        refused_share = self.expected.refused_share
        times = {"itl_ms": self.expected.itl_ms, "ttft_ms": self.expected.ttft_ms, **self.expected.percentiles}
        return {
            "throughput_tok_s": self.expected.throughput_tok_s,
            **self._there(times),
            "steady": self.steady,
            "starved": self.expected.starved,
            "kv_capacity_tokens": self.expected.kv_capacity_tokens,
            **({"refused_share": refused_share} if round(refused_share, REFUSED_DIGITS) else {}),
            **({"simulated_hours": self.expected.hours} if self.expected.hours else {}),
            **self._ranges(),
        }

    def _ranges(self) -> dict[str, list[float]]:
        ranges = self.uncertainty.ranges if self.uncertainty is not None else {}
        return self._there({f"{name}_range": list(ends) for name, ends in ranges.items()})

    def _there(self, times: Mapping[str, Any]) -> dict[str, Any]:
        """Of what is told of times, by their names, what there is: answers of one token have no ITL."""
        one_token = self.expected is not None and self.expected.one_token
        return {name: told for name, told in times.items() if not (one_token and name.startswith("itl"))}

    def document(self) -> dict[str, Any]:
        """The answer as plain data: the documented keys of the JSON, TOML and YAML formats."""
        document: dict[str, Any] = {**self.basis.document(), "feasible": self.feasible}
        document |= {} if self.objective is None else {"objective": self.objective.document()}
        if self.reason is not None:
            document["reason"] = self.reason
        document["flags"] = dict(self.flags)
        document["args"] = self.args
        if self.environment:
            document["environment"] = dict(self.environment)
        document["admission"] = self.admission.document()
        document |= {} if self.counted is None else {"counted": self.counted.document()}
        if self.uncertainty is not None:
            document["admission"]["adapters_if_right"] = self.uncertainty.up_to
            document["uncertainty"] = self.uncertainty.document()
        document["expected"] = {name: _rounded(name, told) for name, told in self.figures().items()}
        if self.without_lora is not None:
            plain = {"itl_ms": round(self.without_lora.itl_ms, 2), "load_ratio": round(self.without_lora.load_ratio, 3)}
            document["without_lora"] = self._there(plain)
        if self.host_memory is not None:
            document["host_memory"] = self.host_memory.document()
        if self.further:
            document["further"] = [{"flag": each.flag, "why": each.why} for each in self.further]
        if self.binding is not None:
            document["binding"] = self.binding.document()
            document["levers"] = [lever.document() for lever in self.levers]
        document["trace"] = [
            {"output": step.output, "rule": list(step.rule), "result": step.result} for step in self.trace
        ]
        document["warnings"] = list(self.warnings)
        if self.changes:
            document["changes"] = {
                change.name: {"today": change.today, "recommended": change.recommended} for change in self.changes
            }
        if self.exact is not None:
            document["exact"] = self.exact.document()
        if self.verified is not None:
            document["verified"] = {key: value for key, value in self.verified.items() if value is not None}
        return document


def _rounded(name: str, told: Any) -> Any:
    """A figure as documents have it."""
    if isinstance(told, list):
        return [round(end, DIGITS) for end in told]
    digits = {"itl_ms": ITL_DIGITS, "refused_share": REFUSED_DIGITS}.get(name, DIGITS)
    return round(told, digits) if isinstance(told, float) else told
