"""Pages of metrics in Prometheus' text format or OpenMetrics', and differences of two scrapes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from advisor.errors import InputError

_SERVER = re.compile(r"^(?:[a-z0-9]+_)*vllm[:_]")
"""The prefix of vLLM's own metrics: vllm:, ray_vllm_, kserve_vllm:, and vllm_ where colons were taken out."""
_BROKEN = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What the parser raises where a line is none."""
_EXEMPLAR = re.compile(r"(?<=[\w.]) # \{.*$", re.MULTILINE)
"""An example of what was counted, behind a sample."""
_SUFFIX = re.compile(r"_(?:total|count|sum|bucket|created)$")
_MOST = 1e18
"""No counter comes so far: a token a nanosecond for thirty years."""
_BEGAN = "process_start_time_seconds"

Series = tuple[str, frozenset[tuple[str, str]]]
"""What begins anew together: a metric without its suffix, and its labels without a bucket's bound."""


class Sample(NamedTuple):
    """One value of a metric."""

    name: str
    """With `vllm:` in front for vLLM's own, whatever wrapped it."""
    labels: Mapping[str, str]
    value: float

    @property
    def series(self) -> Series:
        """What it counts with."""
        labels = frozenset(each for each in self.labels.items() if each[0] != "le")
        return _SUFFIX.sub("", self.name), labels


@dataclass(frozen=True)
class Page:
    """What a server told at one time, or how far its counters came between two."""

    samples: tuple[Sample, ...]

    @cached_property
    def _by_name(self) -> Mapping[str, list[Sample]]:
        by_name = defaultdict[str, list[Sample]](list)
        for each in self.samples:
            by_name[each.name].append(each)
        return by_name

    def of(self, name: str) -> list[Sample]:
        """The samples of a metric."""
        return self._by_name.get(name, [])

    def total(self, name: str) -> float | None:
        """The sum over all labels; None where there is no such metric."""
        values = [each.value for each in self.of(name)]
        return sum(values) if values else None

    def since(self, earlier: Page) -> Page:
        """How far each value came since an earlier scrape; counters that began anew meanwhile count from there."""
        anew = self.began_anew(earlier)
        before = {(each.name, frozenset(each.labels.items())): each.value for each in earlier.samples}
        return Page(
            tuple(
                each
                if not counts(each.name) or each.series in anew
                else each._replace(value=each.value - before.get((each.name, frozenset(each.labels.items())), 0.0))
                for each in self.samples
            )
        )

    def began_anew(self, earlier: Page) -> set[Series]:
        """The series that began anew since an earlier scrape: one of their values fell, or the page says so."""
        if self._later(earlier, _BEGAN):
            return {each.series for each in earlier.samples if counts(each.name)}
        before = {(each.name, frozenset(each.labels.items())): each.value for each in earlier.samples}
        anew = set[Series]()
        for each in self.samples:
            was = before.get((each.name, frozenset(each.labels.items())))
            fell = was is not None and counts(each.name) and each.value < was
            if fell or (was is not None and each.name.endswith("_created") and each.value > was):
                anew.add(each.series)
        return anew

    def _later(self, earlier: Page, name: str) -> bool:
        values = [[each.value for each in page.of(name)] for page in (self, earlier)]
        return all(len(each) == 1 for each in values) and values[0][0] > values[1][0] + 1

    def __add__(self, other: Page) -> Page:
        return Page(self.samples + other.samples)


def counts(name: str) -> bool:
    """Whether a metric only grows."""
    return name.endswith(("_total", "_count", "_sum", "_bucket"))


def sample(name: str, labels: Mapping[str, str], value: float) -> Sample | None:
    """A sample under its common name; None for what tells nothing: values that are no numbers, or no counts."""
    return Sample(_SERVER.sub("vllm:", name), labels, value) if 0 <= value <= _MOST else None


def parse(text: str, where: str) -> Page:
    """Read a page.

    Raises:
        InputError: it is none.
    """
    # Prometheus' own format holds OpenMetrics', but for exemplars; who parses the latter refuses what no reader minds.
    text = _EXEMPLAR.sub("", text.replace("\r", ""))
    try:
        return page(_samples(text), where)
    except _BROKEN:
        lines = enumerate(text.split("\n"), start=1)
        number, line = next((each for each in lines if not _readable(each[1])), (1, text))
        raise InputError(f"{where}:{number}: not a page of metrics in Prometheus' text format: {line[:80]!r}") from None


def _samples(text: str) -> list[Sample | None]:
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(text)
    return [sample(each.name, each.labels, float(each.value)) for family in families for each in family.samples]


def _readable(line: str) -> bool:
    try:
        _samples(line)
    except _BROKEN:
        return False
    return True


def page(samples: Iterable[Sample | None], where: str) -> Page:
    """A page of these samples.

    Raises:
        InputError: there are none.
    """
    kept = tuple(each for each in samples if each is not None)
    if not kept:
        raise InputError(f"{where}: no metrics here; a page of vLLM or of the gateway before it is needed")
    return Page(kept)
