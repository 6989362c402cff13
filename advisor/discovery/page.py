"""Pages of metrics in Prometheus' text format, and differences of two scrapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from advisor.errors import InputError

_SERVER = re.compile(r"^(?:[a-z0-9]+_)*vllm[:_]")
"""The prefix of vLLM's own metrics: vllm:, ray_vllm_, kserve_vllm:, and vllm_ where colons were taken out."""


class Sample(NamedTuple):
    """One value of a metric."""

    name: str
    """With `vllm:` in front for vLLM's own, whatever wrapped it."""
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Page:
    """What a server told at one time, or how far its counters came between two."""

    samples: tuple[Sample, ...]

    def of(self, name: str) -> Iterator[Sample]:
        """The samples of a metric."""
        return (sample for sample in self.samples if sample.name == name)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum over everything but these labels; None where there is no such metric."""
        values = [each.value for each in self.of(name) if labels.items() <= each.labels.items()]
        return sum(values) if values else None

    def since(self, earlier: Page) -> Page:
        """How far each value came since an earlier scrape; counters that began anew meanwhile count from there."""
        before = {(each.name, frozenset(each.labels.items())): each.value for each in earlier.samples}
        return Page(
            tuple(_grown(each, before.get((each.name, frozenset(each.labels.items())))) for each in self.samples)
        )

    def __add__(self, other: Page) -> Page:
        return Page(self.samples + other.samples)


def _grown(sample: Sample, before: float | None) -> Sample:
    if before is None or not counts(sample.name) or sample.value < before:
        return sample
    return sample._replace(value=sample.value - before)


def counts(name: str) -> bool:
    """Whether a metric only grows."""
    return name.endswith(("_total", "_count", "_sum", "_bucket"))


def sample(name: str, labels: Mapping[str, str], value: float) -> Sample | None:
    """A sample under its common name; None for what tells nothing: times of creation, values that are no numbers."""
    if name.endswith("_created") or not math.isfinite(value) or value < 0:
        return None
    return Sample(_SERVER.sub("vllm:", name), labels, value)


def parse(text: str, where: str) -> Page:
    """Read a page.

    Raises:
        InputError: it is none.
    """
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families as prometheus

    read = open_metrics if text.rstrip().endswith("# EOF") else prometheus
    samples = list[Sample | None]()
    try:
        for family in read(text):
            samples.extend(sample(each.name, each.labels, float(each.value)) for each in family.samples)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: not a page of metrics in Prometheus' text format: {error}") from None
    return page(samples, where)


def page(samples: Iterable[Sample | None], where: str) -> Page:
    """A page of these samples.

    Raises:
        InputError: there are none.
    """
    kept = tuple(each for each in samples if each is not None)
    if not kept:
        raise InputError(f"{where}: no metrics here; a page of vLLM or of the gateway before it is needed")
    return Page(kept)
