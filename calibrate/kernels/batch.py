"""Tensors of a case, and the calls that a layer makes with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from calibrate.kernels.cases import Case
from calibrate.kernels.vllm_kernels import Kernels


class Batch:
    """A batch of tokens of several adapters, as a layer gets it.

    With copies of its slots, each call has the next ones: in a step, no layer finds its slots in the GPU's cache.
    """

    def __init__(self, kernels: Kernels, case: Case, device: str, copies: int = 1) -> None:
        import torch

        self._kernels, self.case = kernels, case
        # The interpreter multiplies the bits of bf16 as if they were whole numbers.
        precision = torch.float16 if device == "cpu" else torch.bfloat16
        # Where they are used: a CPU would draw a case's numbers for longer than a GPU is timed with them.
        made = torch.Generator(device=device).manual_seed(0)

        def random(*shape: int, like: int = 1) -> Any:
            return torch.empty(shape, dtype=precision, device=device).normal_(0.0, like**-0.5, generator=made)

        self.tokens = random(case.tokens, case.inputs)
        self.down = [random(case.slots, case.rank, case.inputs, like=case.inputs) for _ in case.outputs]
        self.up = [random(case.slots, outputs, case.rank, like=case.rank) for outputs in case.outputs]
        others = range(copies - 1)
        self._downs = itertools.cycle([self.down, *([each.clone() for each in self.down] for _ in others)])
        self._ups = itertools.cycle([self.up, *([each.clone() for each in self.up] for _ in others)])
        self.hidden = torch.zeros((len(case.outputs), case.tokens, case.rank), dtype=torch.float32, device=device)
        self.result = torch.zeros((case.tokens, sum(case.outputs)), dtype=precision, device=device)
        # Tokens of the adapters in turn, spread over the slots.
        slots = torch.arange(case.adapters) * (case.slots // case.adapters)
        self.adapter = slots[torch.arange(case.tokens) % case.adapters].to(torch.int32)
        meta = kernels.metadata.make(case.slots, case.tokens, device=device)
        meta.prepare_tensors(self.adapter.to(device))
        self._arguments = meta.meta_args(case.tokens, case.specialize)

    def shrink(self) -> None:
        """Tokens times A."""
        self._kernels.shrink(self.tokens, next(self._downs), self.hidden, *self._arguments, 1.0)

    def expand(self) -> None:
        """What came of it times B, added to the layer's own result."""
        self._kernels.expand(
            self.hidden, next(self._ups), self.result, *self._arguments, offset_start=0, add_inputs=True
        )

    def expected(self) -> Any:
        """What shrink and expand together add to a result of zeros, by torch."""
        import torch

        own = self.adapter.to(self.tokens.device).long()
        parts = [
            torch.einsum(
                "tor,tr->to", up.float()[own], torch.einsum("tri,ti->tr", down.float()[own], self.tokens.float())
            )
            for down, up in zip(self.down, self.up, strict=True)
        ]
        return torch.cat(parts, dim=1)


REPEATS = 20
"""Calls in a CUDA graph, and copies of the slots at most."""


def microseconds(call: Callable[[], None], *, repeats: int = REPEATS, rounds: int = 5) -> float:
    """A call in a CUDA graph, us: of `rounds` of so many calls, the median."""
    import torch

    call()  # compiles
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(repeats):  # kernels note where slots are when they meet them first, which no graph can hold
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            call()
    graph.replay()
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(1e3 * begin.elapsed_time(end) / repeats)
    return sorted(times)[rounds // 2]
