"""What a step takes longer on a server of several machines, whose GPUs add up over a network what each computed.

What GPUs of one machine take for that was measured (`advisor.derive.operators`), and comes on top: NCCL adds up within
each machine first, and each GPU then sends its part of the sum to those of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.derive.llm.model_shape import ModelShape

MACHINE_GPUS = 8
"""That a machine has at most: HGX and DGX boards of every GPU of the catalogue that NVLink connects, boards of MI300X,
and servers for PCIe cards, but for a few with ten. Racks such as GB200 NVL72 connect more, which the lower end of the
intervals is of."""
NETWORK = "InfiniBand NDR"
GB_S = 50.0
"""Of the network, for each GPU, in one direction: 400 Gb/s, of which 46 to 48 GB/s arrive (NVIDIA/nccl-tests #290)."""
LEAST_GB_S = 12.5
"""The same where four GPUs share an adapter, as in servers of two for eight."""
LATENCY_US, MOST_LATENCY_US = 30.0, 40.0
"""Of a sum of a few KB over two machines, by NCCL; 20 us at best. Two DGX Sparks took 30 to 38 us for 8 to 32 KB
(NVIDIA/dgx-spark-playbooks #103), four of them 54 to 64 for 48 KB (local-inference-lab/vllm #295)."""
SUMS = 2
"""In a layer: after attention and after the MLP."""
_BYTES = 2.0
"""Of a number that is sent."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What the network adds to a step, ms."""

    sums: int
    """Of a step."""
    base_ms: float
    per_token_ms: float
    most_base_ms: float
    most_per_token_ms: float
    """What it may be at most; at least nothing is added, as in a rack that NVLink connects."""


def crossing(shape: ModelShape, gpus: int) -> Crossing | None:
    """What the network adds to a step on so many GPUs; None where a machine has as many."""
    if gpus <= MACHINE_GPUS:
        return None
    machines, sums = math.ceil(gpus / MACHINE_GPUS), SUMS * shape.layers
    sent_gb = 1e-9 * sums * 2 * (machines - 1) / machines * shape.hidden * _BYTES / MACHINE_GPUS
    return Crossing(
        sums,
        base_ms=1e-3 * sums * LATENCY_US,
        per_token_ms=1e3 * sent_gb / GB_S,
        most_base_ms=1e-3 * sums * MOST_LATENCY_US,
        most_per_token_ms=1e3 * sent_gb / LEAST_GB_S,
    )


def note(shape: ModelShape, gpus: int) -> str | None:
    """What whoever asks for so many GPUs should know; None where a machine has as many."""
    found = crossing(shape, gpus)
    if found is None:
        return None
    return (
        f"{gpus} GPUs are more than a machine has ({MACHINE_GPUS}, but for racks such as GB200 NVL72): the "
        f"{found.sums} sums of a step go over the network, taken to be {NETWORK} ({GB_S:g} GB/s a GPU) with "
        f"{LATENCY_US:g} us each, {found.base_ms:.1f} ms a step; that was not "
        "measured, and what `render` writes is for one machine"
    )
