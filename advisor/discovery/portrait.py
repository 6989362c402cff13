"""What an inventory says, in figures: totals, who brings the load, and what in it is odd."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory
from advisor.names import counted, few, listed, printable
from advisor.report.lines import LABEL, WIDTH, row, wrapped
from twin.settings import slot_rank

BUSY = 0.5
"""The adapters that bring this share of the load are shown by name."""
ODD_LENGTH = 20.0
"""A mean so many times the median adapter's is worth a look: it is often a unit, characters in place of tokens."""
WIDE = 3.0
"""A spread so many times the mean is seldom meant."""
ALIKE = 1.001
"""Times the mean load of an adapter is that of the busiest where all are alike."""
OFTEN = 100.0
"""Requests/s of one adapter, seldom seen: it is often a rate of an hour or a day."""
PLACEHOLDER = re.compile(
    r"<[^<>]+>|\$\{|\{\{|\b(?:todo|fixme|change[-_]?me|replace[-_]?me|placeholder)\b|\byour[-_]", re.IGNORECASE
)
"""What stands where a template was not filled in."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """An inventory in figures."""

    model: str
    gpu: str
    adapters: int
    silent: int
    """Of rate 0."""
    request_rate: float
    """Requests/s of the adapters."""
    token_rate: float
    """Tokens/s, input and output."""
    base_request_rate: float
    """Requests/s that name no adapter."""
    base_token_rate: float
    input_mean: float
    """Tokens, over all requests."""
    output_mean: float
    ranks: dict[int, int]
    """Rank of the slots that an adapter needs -> adapters."""
    busiest: tuple[tuple[str, float], ...]
    """The busiest adapters and their shares of the tokens."""
    oddities: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The documented shape."""
        return asdict(self) | {"busiest": [{"name": name, "share": round(share, 4)} for name, share in self.busiest]}

    def as_text(self) -> str:
        """Lines for people."""
        silent = f", {self.silent:,} of them of rate 0" if self.silent else ""
        rows = [
            ("adapters", f"{self.adapters:,}{silent}"),
            ("ranks", ", ".join(f"{count:,} for slots of rank {rank}" for rank, count in self.ranks.items())),
            ("traffic", _traffic(self.request_rate, self.token_rate)),
            ("lengths", f"{self.input_mean:,.0f} input and {self.output_mean:,.0f} output tokens on average"),
        ]
        if self.base_request_rate:
            base = _traffic(self.base_request_rate, self.base_token_rate)
            rows.insert(3, ("base model", f"beside them {base} that name no adapter"))
        if self.adapters - self.silent > 1 and self.busiest:
            rows.append(("busiest", self._busiest()))
        lines = [f"{self.model} on {self.gpu}", *(wrapped(row(*each), WIDTH, hang=LABEL - 2) for each in rows)]
        return "\n".join([*lines, *(wrapped(f"odd: {each}", WIDTH) for each in self.oddities)])

    def _busiest(self) -> str:
        if self.busiest[0][1] * (self.adapters - self.silent) <= ALIKE:
            return "none: all that are asked bring as many tokens"
        return ", ".join(
            f"{printable(name)} {share:{'.0%' if share >= 0.01 else '.1%'}}" for name, share in self.busiest
        )


def _traffic(request_rate: float, token_rate: float) -> str:
    return f"{request_rate:,.4g} requests/s, {few(token_rate)} tokens/s"


def portrait(inventory: Inventory) -> Portrait:
    """The inventory in figures."""
    mix = inventory.workload.stationary()
    tokens = mix.rate * (mix.input_mean + mix.output_mean)
    requests, total = float(mix.rate.sum()), float(tokens.sum())
    slots, counts = np.unique([slot_rank(rank) for rank in mix.rank], return_counts=True)
    order = np.argsort(-tokens, kind="stable")
    busiest = list[tuple[str, float]]()
    for i in order[:5]:
        if not total or sum(share for _, share in busiest) >= BUSY:
            break
        busiest.append((inventory.names[i], float(tokens[i]) / total))
    return Portrait(
        inventory.model,
        inventory.gpu,
        len(inventory),
        int((mix.rate == 0).sum()),
        requests,
        total,
        0.0 if mix.base is None else float(mix.base.rate.sum()),
        mix.base_tok_s,
        float(mix.rate @ mix.input_mean) / requests if requests else float(mix.input_mean.mean()),
        float(mix.rate @ mix.output_mean) / requests if requests else float(mix.output_mean.mean()),
        {int(rank): int(count) for rank, count in zip(slots, counts, strict=True)},
        tuple(busiest),
        tuple(_oddities(inventory, tokens)),
    )


def _those(names: Sequence[str], which: NDArray[np.bool_]) -> str:
    return listed([name for name, here in zip(names, which, strict=True) if here])


def _oddities(inventory: Inventory, tokens: NDArray[np.float64]) -> Iterator[str]:
    mix, names = inventory.workload.stationary(), inventory.names
    total = float(tokens.sum())
    if not total:
        yield "no adapter is asked at all: every rate is 0"
        return
    if len(names) > 1 and tokens.max() > BUSY * total:
        yield f"{listed([names[int(tokens.argmax())]])} alone brings {tokens.max() / total:.0%} of the tokens"
    largest = mix.rank == mix.rank.max()
    if largest.sum() < len(names) / 10 and mix.rank.max() >= 2 * np.median(mix.rank):
        yield (
            f"{int(largest.sum())} of {len(names):,} adapters have rank {mix.rank.max():g}, the others in the median "
            f"{np.median(mix.rank):g}: every slot is as large as the largest rank needs"
        )
    for kind in ("input", "output"):
        mean, std = getattr(mix, f"{kind}_mean"), getattr(mix, f"{kind}_std")
        if (far := mean > ODD_LENGTH * np.median(mean)).any():
            yield f"{kind} of {_those(names, far)}: {ODD_LENGTH:g} times the others' and more"
        if (wide := std > WIDE * mean).any():
            yield f"{kind} of {_those(names, wide)}: spread above {WIDE:g} times the mean"
    yield from _loaded_twice(inventory)
    if inventory.workload.switches:
        phases, times = counted(len(inventory.workload.phases), "phase"), inventory.mix.rate.sum() / mix.rate.sum()
        yield f"rates switch over {phases}: the busiest minute brings {few(float(times))} times the mean"
    if (often := mix.rate > OFTEN).any():
        yield f"rate of {_those(names, often)}: above {OFTEN:g} a second; of an hour or a day, perhaps?"
    said = (inventory.model, inventory.gpu, *names)
    if unfilled := [each for each in dict.fromkeys(said) if PLACEHOLDER.search(each)]:
        yield f"not filled in: {listed(unfilled)}"
    if doubled := [name for name in names if name != name.strip()]:
        yield f"blanks around names: {listed([repr(name) for name in doubled])}"
    folded: dict[str, str] = {}
    for name in names:
        if (other := folded.setdefault(name.casefold(), name)) != name:
            yield f"{listed([other, name])} differ in case alone"
            break


def _loaded_twice(inventory: Inventory) -> Iterator[str]:
    loaded = defaultdict[str, list[str]](list)
    for name, source in zip(inventory.names, inventory.sources, strict=True):
        if source is not None:
            loaded[source].append(name)
    source, alike = max(loaded.items(), key=lambda each: len(each[1]), default=("", []))
    if len(alike) > 1:
        yield f"{listed(alike)} are loaded from one place, {source}: the same weights take a slot for each name"
