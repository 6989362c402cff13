"""LoRA's terms as `advisor/derive` has them: a step's for Llama-3.1-8B, and its constants of current versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tomli_w

from advisor.derive import gpu as gpus
from advisor.derive import lora, model_shape
from advisor.derive.derive import MEASURED_ON
from advisor.zoo.pair import PROFILE, shipped
from calibrate.errors import CalibrationError
from calibrate.fit.regression import regress, significant
from calibrate.kernels.fit import ENDS, Terms, Timed, residuals, whole_layers
from calibrate.kernels.terms import FIXED, OF_KERNEL, of_a_layer
from twin.profile import LORA_TERMS, load

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
DONOR = "llama-3.1-8b-instruct--h100-64gb"
"""The pair that current versions are compared with: of the same model, under 0.8.5."""

Interval = tuple[float, float, float]
"""Middle, lowest, highest."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What the timed cases say, in the words of `advisor/derive/derive.py`."""

    source: str
    gpu: str
    """The catalogue's name."""
    vllm: str
    fixed_us: Interval
    """Of a layer: FIXED_US."""
    of_current: Interval
    """The rest, times what 0.8.5 takes: OF_CURRENT."""
    by_term: Mapping[str, Interval]
    """The same, term by term."""
    terms_ms: Mapping[str, Interval]
    """A step's, for Llama-3.1-8B on this GPU."""
    residual_percent: Mapping[str, float]

    def python(self) -> str:
        """The two constants as `advisor/derive/derive.py` has them; the second also with a factor for each term."""
        by_term = ", ".join(f'"{name}": {_tuple(values)}' for name, values in self.by_term.items())
        return "\n".join(
            f'{name} = {value}\n"""{self.source}"""'
            for name, value in (
                ("FIXED_US", _tuple(self.fixed_us)),
                ("OF_CURRENT", _tuple(self.of_current)),
                ("OF_CURRENT_BY_TERM", f"{{{by_term}}}"),
            )
        )

    def to_toml(self) -> str:
        """All of it as a file."""
        return tomli_w.dumps(
            {
                "source": self.source,
                "model": MODEL,
                "gpu": self.gpu,
                "vllm": self.vllm,
                "FIXED_US": list(self.fixed_us),
                "OF_CURRENT": list(self.of_current),
                "OF_CURRENT_BY_TERM": {name: list(values) for name, values in self.by_term.items()},
                "step": {name: list(values) for name, values in self.terms_ms.items()},
                "residual_percent": dict(self.residual_percent),
            }
        )


def constants(timed: Sequence[Timed], terms: Terms, gpu: str) -> Constants:
    """What fitted terms mean for derived Profiles; `gpu` is any name of the card.

    Raises:
        InputError: the catalogue has no such GPU.
        CalibrationError: no layer was timed whole.
    """
    shape, layer = model_shape.find(MODEL), of_a_layer()

    def of_step(us: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        found = dict.fromkeys(LORA_TERMS, 0.0)
        for kernel, names in OF_KERNEL.items():
            for name in names:
                found[name] += us[kernel][name] * layer[kernel][name] * shape.layers * 1e-3
        return found

    middle, others = of_step(terms.us), [of_step(each) for each in terms.resampled]
    step = {name: _interval(middle[name], [each[name] for each in others]) for name in LORA_TERMS}
    former = _of_former_kernels(gpu)
    before = of_step(former.us)
    first, off = timed[0], {each.what: significant(100 * each.mean) for each in residuals(timed, terms)}
    return Constants(
        source=(
            f"LoRA's kernels of vLLM {first.vllm} alone, {len(timed)} cases on {first.gpu}, torch {first.torch}: "
            f"{off['all calls']:.1f} % off in the mean (`python -m calibrate fit-kernels`)"
        ),
        gpu=gpus.short_name(gpu),
        vllm=first.vllm,
        fixed_us=_times(step[FIXED], 1e3 / shape.layers),
        of_current=_of_current(timed, former),
        by_term={name: _times(step[name], 1 / value) for name, value in before.items() if value},
        terms_ms=step,
        residual_percent=off,
    )


def _interval(middle: float, others: Sequence[float]) -> Interval:
    low, high = np.percentile(others, ENDS)
    return significant(middle), significant(min(low, middle)), significant(max(high, middle))


def _times(values: Interval, factor: float) -> Interval:
    middle, low, high = (significant(value * factor) for value in values)
    return middle, low, high


def _tuple(values: Interval) -> str:
    return f"({', '.join(f'{value:.3g}' for value in values)})"


def _of_current(timed: Sequence[Timed], before: Terms) -> Interval:
    """How many times what 0.8.5 would take the layers took beyond their fixed part: of all, and where nine of ten lie.

    One factor stands for all terms there, so its interval is that of single batches, not of the factor's own fit.
    """
    layers = list(whole_layers(timed))
    if not layers:
        raise CalibrationError("no layer was timed whole: all four calls of a batch wanted; time kernels for longer")
    former = np.array([sum(before.call_us(each.case) for each in layer) for layer in layers])
    took = np.array([sum(each.call_us for each in layer) for layer in layers])
    found = regress({FIXED: np.ones(len(took)), "times": former}, took).coefficients
    much = former * found["times"] > found[FIXED]  # elsewhere the fixed part hides the rest
    each = (took - found[FIXED])[much] / former[much] if much.any() else np.array([found["times"]])
    return _interval(found["times"], [float(value) for value in each])


def _of_former_kernels(gpu: str) -> Terms:
    """What 0.8.5's kernels would take on this GPU beyond their fixed part."""
    clocks = lora.clock_ratio(gpus.catalogue().gpus[MEASURED_ON], gpus.find(gpu))
    step, shape, layer = load(shipped() / DONOR / PROFILE).step, model_shape.find(MODEL), of_a_layer()
    scaled = {**lora.scaled(step, shape, shape, 1, clocks), FIXED: 0.0}
    whole = {name: sum(of_kernel.get(name, 0.0) for of_kernel in layer.values()) for name in LORA_TERMS}
    us = {name: 1e3 * scaled[name] / shape.layers / whole[name] for name in LORA_TERMS}
    return Terms({kernel: {name: us[name] for name in names} for kernel, names in OF_KERNEL.items()}, ())
