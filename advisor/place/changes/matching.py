"""Which new group goes to which old GPU, so that as much as possible stays where it is: an auction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Buyer = TypeVar("Buyer", bound=Hashable)
Thing = TypeVar("Thing", bound=Hashable)

SLACK = 0.01
"""What of the best total may be missed, for the sake of time."""


def match(values: Mapping[Buyer, Mapping[Thing, int]], slack: float = SLACK) -> dict[Buyer, Thing]:
    """A thing for each buyer, no thing for two, of nearly the greatest total value; values are above 0.

    Bertsekas' auction: who has nothing bids for what leaves it most beyond its price, by as much as it is better than
    the second best and a little more (epsilon). In the end every buyer is within epsilon of the best that prices leave
    it, and things that nobody wanted cost nothing: by duality, the total is within buyers x epsilon of the greatest.
    Epsilon is such that this is no more than `slack` of an upper bound of it, and where it is less than 1, as of small
    totals, nothing is missed, for values are whole numbers.
    """
    bound = sum(max(wanted.values(), default=0) for wanted in values.values())
    epsilon = max(slack * bound, 0.999) / max(len(values), 1)
    price: dict[Thing, float] = {}
    owner: dict[Thing, Buyer] = {}
    owned: dict[Buyer, Thing] = {}
    waiting = [buyer for buyer, wanted in values.items() if wanted][::-1]
    while waiting:
        buyer = waiting.pop()
        profits = sorted(
            ((value - price.get(thing, 0.0), thing) for thing, value in values[buyer].items()),
            key=lambda each: -each[0],
        )
        profit, thing = profits[0]
        if profit <= 0:
            continue  # all that it wants costs more than it is worth
        second = max(profits[1][0], 0.0) if len(profits) > 1 else 0.0
        price[thing] = price.get(thing, 0.0) + profit - second + epsilon
        if (previous := owner.get(thing)) is not None:
            del owned[previous]
            waiting.append(previous)
        owner[thing], owned[buyer] = buyer, thing
    return owned
