"""The search for the most adapters that hold, and for their slots.

A configuration holds that misses nothing of the objective in a number of simulated hours, each with requests of its
own. The search asks few of them: it starts from what the models say, and goes to other slots while these serve more.
What it finds then has to hold in many hours, or fewer adapters are admitted, for chance favours what was chosen by it.
At last the slots are chosen by the ITL.
"""

from __future__ import annotations

from collections.abc import Callable

from advisor.exact.trials import Trials
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.recommend.choice.search import choose, enclose

SEARCHED_WITH = range(3)
"""Seeds of the hours that the search asks."""
HELD_IN = range(32)
"""Seeds of the hours that the answer has to hold in: whatever one hour differs from another in, of those that were not
asked one in 33 is then expected to miss at most."""
RESOLUTION = 0.005
"""Sizes are told apart by such a share of them."""
FACTORS = (1.5, 1.22, 1.1, 1.05)
"""Times the best slots so far, and so many times fewer, are tried: wide steps first."""
NEAR = 1.1
"""Times the slots, or so many times fewer, may hold in many hours where these do not."""
ALIKE = 1.01
"""ITLs so close are alike, as chance makes them differ; slots are then chosen by the TTFT."""
FAR = 4.0
"""Of more adapters than so many times what the closed form says one GPU serves, not all are tried."""


def search(trials: Trials, held_in: range) -> tuple[int, int]:
    """The most adapters that hold and their slots; 0 where not even one does.

    Raises:
        DoesNotFitError: the server would not start.
    """
    size, slots = _settled(trials, *_peak(trials, *_start(trials)), held_in)
    return (size, _calmest(trials, size, slots, held_in)) if size else (0, 0)


def search_all(trials: Trials, held_in: range) -> tuple[int, int]:
    """All adapters and their slots, as `search`; 0 where not all hold with about the slots of the models."""
    size = trials.of
    most = estimate(ServedMix(trials.part(size), trials.configurator.profile)).max_adapters
    slots = _by_models(trials, size)
    if size > FAR * max(most, 1.0) or trials.missed(size, slots, SEARCHED_WITH):
        return 0, 0
    settled, slots = _settled(trials, size, slots, held_in)
    return (size, _calmest(trials, size, slots, held_in)) if settled == size else (0, 0)


def _start(trials: Trials) -> tuple[int, int]:
    """Where the search begins: as the models have it or, where they admit nobody, as the closed form does."""
    by_models = choose(trials.configurator, trials.part, trials.of)
    if by_models.configuration is not None:
        return by_models.size, by_models.configuration.settings.max_loras
    most = estimate(ServedMix(trials.part(trials.of), trials.configurator.profile)).max_adapters
    size = min(max(int(most), 1), trials.of)
    return size, _by_models(trials, size)


def _by_models(trials: Trials, size: int) -> int:
    return trials.configurator.configure(trials.part(size)).settings.max_loras


def _peak(trials: Trials, size: int, slots: int) -> tuple[int, int]:
    """The most adapters that hold in the hours of the search, and the slots with which they do."""
    size = _limit(trials, size, slots, FACTORS[0])

    def serve_more(other: int, factor: float) -> bool:
        nonlocal size
        more = size + max(round(_resolution(factor) * size), 1)
        if more > trials.of or trials.missed(more, other, SEARCHED_WITH):
            return False
        size = _limit(trials, more, other, factor)
        return True

    slots = _moved(trials, slots, serve_more)
    return _limit(trials, max(size, 1), slots, FACTORS[-1]), slots


def _limit(trials: Trials, start: int, slots: int, factor: float) -> int:
    """The most adapters that hold with so many slots."""
    apart = _resolution(factor)
    size, _ = enclose(start, trials.of, lambda size: trials.missed(size, slots, SEARCHED_WITH), apart=apart)
    return size


def _resolution(factor: float) -> float:
    """By which share sizes are told apart while slots are sought by such a factor: sizes differ less than slots."""
    return max((factor - 1) / 10, RESOLUTION)


def _moved(trials: Trials, slots: int, better: Callable[[int, float], bool]) -> int:
    """The slots that one comes to from these, going up and down as long as others are better."""
    for factor in FACTORS:
        for towards in (_more, _fewer):
            while (other := trials.allowed(trials.of, towards(slots, factor))) != slots and better(other, factor):
                slots = other
    return slots


def _more(slots: int, factor: float) -> int:
    return max(round(slots * factor), slots + 1)


def _fewer(slots: int, factor: float) -> int:
    return min(round(slots / factor), slots - 1)


def _settled(trials: Trials, size: int, slots: int, held_in: range) -> tuple[int, int]:
    """The most adapters, at most `size`, that hold in many hours, with these slots or others near them."""
    around = [slots, _more(slots, NEAR), _fewer(slots, NEAR)]
    found = dict[int, int]()

    def missed(size: int) -> list[str]:
        failing: list[str] = []
        for other in dict.fromkeys(trials.allowed(size, each) for each in around):
            if not (failing := trials.missed(size, other, held_in)):
                found[size] = other
                break
        return failing

    if size:
        size, _ = enclose(size, size, missed, stride=RESOLUTION, apart=RESOLUTION)
    return size, found.get(size, slots)


def _calmest(trials: Trials, size: int, slots: int, held_in: range) -> int:
    """The slots with the lowest ITL with which so many adapters hold, starting from some with which they do."""

    def itl_ms(slots: int) -> float:
        return trials.mean(size, slots, "itl_ms", SEARCHED_WITH)

    lowest = itl_ms(slots)

    def calmer(other: int, _: float) -> bool:
        nonlocal lowest
        if trials.missed(size, other, SEARCHED_WITH) or itl_ms(other) >= lowest:
            return False
        lowest = itl_ms(other)
        return True

    def rank(slots: int) -> tuple[bool, float]:
        alike = itl_ms(slots) <= ALIKE * lowest
        return not alike, trials.mean(size, slots, "ttft_ms", SEARCHED_WITH) if alike else itl_ms(slots)

    _moved(trials, slots, calmer)
    holding = [each for each in trials.slots(size) if not trials.missed(size, each, SEARCHED_WITH)]
    return next(each for each in sorted(holding, key=rank) if not trials.missed(size, each, held_in))
