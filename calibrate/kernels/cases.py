"""Which products are timed, the most telling first, so that an early end loses the least."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from twin.lora_kernels import REACHED

RANKS = (16, 8, 32, 64, 128, 256)
SLOTS = (32, 1, 128, 8, 384)
ADAPTERS = (1, 8, 32, 128, 256)
TOKENS = (32, 1, 128, 256, 512, 2048, 8192)
SHAPES = ((4096, (4096, 1024, 1024)), (4096, (14336, 14336)), (14336, (4096,)), (4096, (4096,)), (8192, (28672, 28672)))
"""Inputs and outputs of a layer's projections: q, k and v of Llama-3.1-8B in one call as vLLM has them, its gate and
up, its down, its o; and gate and up of a model of 70 billion parameters."""
LAYER = SHAPES[:4]
"""What a layer of Llama-3.1-8B calls."""
MIDDLE = (16, 32, 8, 32)
"""Rank, slots, adapters and tokens that stay while one of them is varied."""


LEAST_MIB, CACHE_MIB = 1.0, 128.0
"""What is read in a fraction of a microsecond from wherever it is; and more than a GPU's cache holds."""


class Case(NamedTuple):
    """One call of shrink and expand, as a layer makes it."""

    inputs: int
    outputs: tuple[int, ...]
    """Of the projections that share it."""
    rank: int
    """Of the slots."""
    slots: int
    adapters: int
    """In the batch; at most as many as slots and tokens."""
    tokens: int
    specialize: bool = False
    """Whether the grid is as wide as the adapters in the batch (`--specialize-active-lora`), not as the slots."""

    @property
    def possible(self) -> bool:
        """Whether a server could come to it, and the kernels could reach all of its slots."""
        largest = self.slots * self.rank * max(self.inputs, *self.outputs)
        return self.adapters <= min(self.slots, self.tokens) and largest < REACHED

    @property
    def weights_gib(self) -> float:
        """Memory of its slots."""
        sides = self.inputs * len(self.outputs) + sum(self.outputs)
        return 2 * self.slots * self.rank * sides / 2**30

    @property
    def read_mib(self) -> float:
        """What is read of them: the slots of adapters in the batch."""
        return 1024 * self.weights_gib * self.adapters / self.slots

    def copies(self, most_gib: float, most: int) -> int:
        """Sets of its slots to be called in turn so that a GPU's cache does not hold the next: of so many GiB."""
        if self.read_mib < LEAST_MIB:
            return 1
        return max(min(most, math.ceil(CACHE_MIB / self.read_mib), int(most_gib / self.weights_gib)), 1)


def cases(most_gib: float) -> Iterator[Case]:
    """The cases in order of worth, each once: the middle of everything, each axis alone, all pairs of axes, the rest.

    Those whose slots alone take more than `most_gib` are left out.
    """
    seen = set[Case]()
    for case in _in_order():
        if case not in seen and case.possible and case.weights_gib <= most_gib:
            seen.add(case)
            yield case


def _in_order() -> Iterator[Case]:
    axes = (RANKS, SLOTS, ADAPTERS, TOKENS)
    yield from _layer(MIDDLE)
    for varied in ((0,), (1,), (2,), (3,), (1, 3), (0, 3), (0, 1), (2, 3), (1, 2), (0, 2)):
        for values in itertools.product(*(axes[i] for i in varied)):
            chosen = dict(zip(varied, values, strict=True))
            rank, slots, adapters, tokens = (chosen.get(i, middle) for i, middle in enumerate(MIDDLE))
            point = (rank, slots, min(adapters, slots, tokens), tokens)
            yield from _layer(point)
            if varied in ((1,), (2,), (1, 2)):
                yield from _layer(point, specialize=True)
    for inputs, outputs in SHAPES[len(LAYER) :]:
        for rank, slots, tokens in itertools.product(RANKS, SLOTS, TOKENS):
            yield Case(inputs, outputs, rank, slots, min(8, slots, tokens), tokens)
    for rank, slots, adapters, tokens in itertools.product(*axes):
        yield from _layer((rank, slots, adapters, tokens))


def _layer(point: tuple[int, int, int, int], *, specialize: bool = False) -> Iterator[Case]:
    rank, slots, adapters, tokens = point
    for inputs, outputs in LAYER:
        yield Case(inputs, outputs, rank, slots, adapters, tokens, specialize)
