"""Which adapters are admitted where one GPU does not serve all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor import together
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.inventory.inventory import Inventory
from advisor.names import listed
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
from advisor.recommend.choice.order import Positions, in_order
from advisor.recommend.choice.search import Choice, choose
from advisor.recommend.objective import Objective
from advisor.recommend.server.host_memory import Floats, HostRoom, room
from advisor.zoo.pair import Pair
from twin.settings import LORA_RANKS, slot_rank
from twin.workload import Workload

GIANT = 0.5
"""An adapter that alone brings such a share of what the GPU serves is admitted after the others or before them, but
does not decide how many of them are served."""
WORTH = 1.1
"""The mix is kept unless another set serves so many times as much, in adapters times tokens: neither a hundred adapters
that are hardly asked nor a single one that fills the GPU is what most would want."""
NAMED = 5
"""Adapters named in a warning before the rest is only counted."""
KEEPS_MIX = "the mix is kept: of each kind of adapters (ranks, rates, lengths) the same share is admitted"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Adapters that may be admitted, in an order; others may be left out beforehand."""

    order: Positions
    """Of the adapters that are asked."""
    idle: Positions
    """Of those that are never asked: they are admitted with any of the others."""
    principle: str = ""
    """By what they are put in order."""

    def hold(self, selection: Selection) -> bool:
        """Whether all that were selected are among these, and more; or just these, without who was asked about too."""
        these, asked = (np.concatenate([each.order, each.idle]) for each in (self, selection.candidates))
        differ = len(these) > len(selection.adapters) or len(asked) > len(these)
        return differ and bool(np.isin(selection.adapters, these).all())

    def first(self, asked: int, in_host: int) -> Positions:
        """So many of those that are asked and as many idle ones as host memory then has room for, ascending."""
        return np.sort(np.concatenate([self.order[:asked], self.idle[: in_host - asked]]))


@dataclass(frozen=True, slots=True)
class Selection:
    """What came of some candidates."""

    candidates: Candidates
    choice: Choice
    idle: Positions
    """Of the idle candidates, those that host memory has room for."""
    token_rate: float
    """Offered tokens/s of the admitted adapters."""
    host: HostRoom | None = None
    """What host memory holds of the candidates; None where it has room for all."""

    @property
    def adapters(self) -> Positions:
        """Positions of the admitted adapters, ascending."""
        if self.choice.configuration is None:
            return np.empty(0, dtype=np.int64)
        return np.sort(np.concatenate([self.candidates.order[: self.choice.size], self.idle]))

    @property
    def worth(self) -> float:
        """Adapters times tokens/s."""
        return len(self.adapters) * self.token_rate


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects adapters of one inventory for one GPU."""

    inventory: Inventory
    mix: Workload
    """Its adapters with the traffic that the server accepts."""
    pair: Pair
    objective: Objective
    fixed: Mapping[str, int | float]
    """Settings that stay, by vLLM's names."""
    weights: Floats | None = None
    """What each adapter takes of host memory, bytes; None where that is not limited, or not known."""
    longest: int = 0
    """The longest sequence that is wanted, tokens, where memory does not hold one beside any slots; else 0."""

    def select(self) -> tuple[Selection, list[str]]:
        """The adapters that one GPU serves, the mix kept unless another set serves much more; and what to tell."""
        everyone = np.arange(len(self.mix), dtype=np.int64)
        loads = self.mix.rank <= self.fixed.get("max_lora_rank", LORA_RANKS[-1])
        loadable = everyone[loads]
        told = list(self._kept_out(everyone[~loads], loadable))
        asked = self.mix.rate[loadable] > 0
        if not asked.any():
            reason = "no adapter that is asked has a rank up to the fixed max_lora_rank"
            candidates = Candidates(loadable[asked], loadable[~asked])
            return Selection(candidates, Choice(0, None, (), {}, reason), candidates.idle, 0.0), told
        whole = self._try(Candidates(loadable[asked], loadable[~asked]), least=int(asked.sum()))
        if len(whole.adapters) == len(loadable):
            return whole, told
        after, before = self._ordered(loadable)
        best = whole = self._try(after)
        for candidates in self._alternatives(loadable, before, no_mix=whole.choice.size <= 1):
            if (least := self._least_better(candidates, best)) <= len(candidates.order):
                other = self._try(candidates, least)
                holds = len(other.adapters) >= len(best.adapters) and bool(np.isin(best.adapters, other.adapters).all())
                best = other if other.worth > WORTH * best.worth or holds else best
        if len(left_out := self._left_out(best, loadable)):
            told.append(self._compared(whole, best, left_out))
            best = replace(best, candidates=self._without(best.candidates, left_out))
        return best, told

    def _try(self, candidates: Candidates, least: int = 1) -> Selection:
        """What comes of these candidates, of whom no fewer than `least` are wanted."""
        idle, host = candidates.idle, self._host(candidates)
        if host is not None and host.slots < (slots := int(self.fixed.get("max_loras", 1))):
            return Selection(candidates, Choice(0, None, (), {}, host.too_small(slots)), idle, 0.0)
        in_host = int(self.fixed.get("max_cpu_loras", len(self.mix))) if host is None else host.admits
        of = min(len(candidates.order), in_host)
        try:
            configurator = Configurator(
                self.pair,
                self.objective,
                self.fixed,
                idle_adapters=len(idle),
                idle_rank=int(self.mix.rank[idle].max(initial=0)),
                host_slots=None if host is None else host.slots,
                together=together.crowds(self.inventory, candidates.order),
                longest=self.longest,
            )
            choice = self._choose(configurator, candidates, of, in_host, min(least, of))
        except DoesNotFitError as error:
            choice = Choice(0, None, error.trace, {}, str(error))
        admitted = self.mix.take(candidates.order[: choice.size])
        left = in_host - choice.size  # who is asked comes first
        token_rate = admitted.offered_tok_s - admitted.base_tok_s if choice.size else 0.0
        return Selection(candidates, choice, idle[:left], token_rate, host)

    def _choose(self, configurator: Configurator, candidates: Candidates, of: int, in_host: int, least: int) -> Choice:
        """How many of the first `of` candidates to admit, and how to serve them, beside idle ones up to `in_host`."""
        del in_host  # idle adapters change nothing that the models know
        which = "that are asked and not left out" if of == len(candidates.order) else "that host memory has room for"
        if of == int((self.mix.rate > 0).sum()):
            which = "in the inventory" if of == len(self.mix) else "that are asked"
        return choose(configurator, lambda size: self.mix.take(candidates.order[:size]), of, which, least=least)

    def _host(self, candidates: Candidates) -> HostRoom | None:
        """What host memory holds of them, where it is limited and nobody fixed how many."""
        limit_gib = self.inventory.host_memory_gib
        if self.weights is None or limit_gib is None or "max_cpu_loras" in self.fixed:
            return None
        all_of_them = np.concatenate([candidates.order, candidates.idle])
        return room(limit_gib, self.weights[all_of_them], self.mix.take(all_of_them), self.pair.profile.loading)

    def _ordered(self, adapters: Positions) -> tuple[Candidates, Candidates]:
        """The adapters in the order of admission: giants after the others, and before them; alike without giants."""
        asked = adapters[self.mix.rate[adapters] > 0]
        busy = self.mix.take(asked)
        order = in_order(self.mix, self.inventory.names, asked)
        serves = (
            (busy.offered_tok_s - busy.base_tok_s)
            / len(busy)
            * estimate(ServedMix(busy, self.pair.profile)).max_adapters
        )
        load = self._load()[order]
        giants, others = order[load > GIANT * serves], order[load <= GIANT * serves]
        giants = giants[np.argsort(self._load()[giants], kind="stable")]
        idle = np.sort(adapters[self.mix.rate[adapters] == 0])
        if not len(giants):
            return (all_alike := Candidates(others, idle, KEEPS_MIX)), all_alike
        unit = self.pair.basis.unit
        who = f"{KEEPS_MIX}; those that alone bring more than {GIANT:.0%} of what the {unit} serves come"
        return (
            Candidates(np.concatenate([others, giants]), idle, f"{who} after the others"),
            Candidates(np.concatenate([giants, others]), idle, f"{who} before the others"),
        )

    def _alternatives(self, adapters: Positions, first: Candidates, *, no_mix: bool) -> Iterator[Candidates]:
        """Sets that no single kind decides for: giants `first`, without the largest ranks, the least busy first.

        The last is for where there is `no_mix` to keep, as of the adapters in their order not even two are served.
        """
        if first.principle != KEEPS_MIX:
            yield first
        ranks = sorted({slot_rank(rank) for rank in set(self.mix.rank[adapters].tolist())}, reverse=True)
        for rank in ranks[1:]:
            kept = adapters[self.mix.rank[adapters] <= rank]
            if (self.mix.rate[kept] > 0).any():
                without, _ = self._ordered(kept)
                yield without
        if no_mix:
            order = first.order[np.argsort(self._load()[first.order], kind="stable")]
            yield Candidates(
                order,
                first.idle,
                "those that bring the least come first, for not even two are served that keep the mix",
            )

    def _load(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Offered tokens/s of each adapter."""
        return self.mix.rate * (self.mix.input_mean + self.mix.output_mean)

    def _least_better(self, candidates: Candidates, best: Selection) -> int:
        """How many of those that are asked have to be served to be worth it, or to hold all that were selected.

        More than there are where neither can be. Of the very ones that were selected all: then what is told of them is
        of them alone, not of others beside them that are left out.
        """
        count = np.arange(1, len(candidates.order) + 1)
        worth = (count + len(candidates.idle)) * np.cumsum(self._load()[candidates.order])
        enough = 1 + int(np.searchsorted(worth, WORTH * best.worth, side="right"))
        if not candidates.hold(best):
            return enough
        return min(enough, 1 + int(np.flatnonzero(np.isin(candidates.order, best.adapters)).max(initial=0)))

    def _kept_out(self, refused: Positions, loadable: Positions) -> Iterator[str]:
        """What the fixed settings keep out."""
        if len(refused):
            yield (
                f"{self._named(refused)} left out: rank above the fixed max_lora_rank {self.fixed['max_lora_rank']}, "
                "which vLLM refuses to load"
            )
        if (most := int(self.fixed.get("max_cpu_loras", len(self.mix)))) < len(loadable):
            yield f"max_cpu_loras is fixed: no more than {most:,} adapters are admitted"

    def _left_out(self, best: Selection, loadable: Positions) -> Positions:
        """Those whose rank is too large for the slots of whoever is admitted."""
        if not len(best.adapters):
            return np.empty(0, dtype=np.int64)
        slots = slot_rank(float(self.mix.rank[best.adapters].max()))
        return loadable[self.mix.rank[loadable] > slots]

    def _without(self, candidates: Candidates, left_out: Positions) -> Candidates:
        """The same without those, and told so."""
        order, idle = (each[~np.isin(each, left_out)] for each in (candidates.order, candidates.idle))
        largest = slot_rank(float(self.mix.rank[np.concatenate([order, idle])].max()))
        principle = f"those of rank above {largest} are left out; of the others, {candidates.principle}"
        return Candidates(order, idle, principle)

    def _compared(self, whole: Selection, best: Selection, left_out: Positions) -> str:
        """What leaving out those of large ranks brings, as the models were asked: they in their share, or one alone."""
        slots = slot_rank(float(self.mix.rank[best.adapters].max()))
        why = f"every slot is as large as the largest rank needs, here above {slots}"
        told, unit = f"{self._named(left_out)} left out, for {why}", self.pair.basis.unit
        without = f"{len(best.adapters):,} of the {len(self.mix):,} adapters ({best.token_rate:,.0f} tokens/s)"
        if among := int(np.isin(left_out, whole.adapters).sum()):
            who = "it" if len(left_out) == 1 else f"{'all' if among == len(left_out) else f'{among:,}'} of them"
            other = whole
        else:
            first = min(left_out, key=lambda i: (self.mix.rank[i], self._load()[i]))
            who = "it" if len(left_out) == 1 else f"{self.inventory.names[first]} alone of them"
            other = self._beside(first, self._without(best.candidates, left_out))
            who = f"{who}{self._told_by}"
        if not len(other.adapters):
            return f"{told}: with {who} one {unit} serves none, without {without}"
        with_it = f"{len(other.adapters):,} ({other.token_rate:,.0f} tokens/s)"
        return f"{told}: with {who} one {unit} serves {with_it}, without {without}"

    @property
    def _told_by(self) -> str:
        """Who says what comes of them beside one of a large rank, where others say the rest."""
        return ""

    def _beside(self, first: int, others: Candidates) -> Selection:
        """What comes of the others beside one of a large rank, which is served in any case."""
        if self.mix.rate[first] > 0:
            return self._try(replace(others, order=np.concatenate([[first], others.order])))
        return self._try(replace(others, idle=np.concatenate([[first], others.idle])))

    def _named(self, adapters: Sequence[int] | Positions) -> str:
        """Adapters by name, the rest by number, with the verb that follows."""
        names = [self.inventory.names[i] for i in adapters]
        return f"{listed(names, NAMED)} {'is' if len(adapters) == 1 else 'are'}"
