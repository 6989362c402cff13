"""Launch files of many servers: one for each GPU of a placement and each template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from advisor.deploy.write.render import LaunchFile, render
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.inventory.inventory import Inventory
from advisor.place.placement import Assignment, Placement
from advisor.recommend.recommendation import Admission, Recommendation


def server_name(gpu: int) -> str:
    """What the server on the GPU of this number is called."""
    return f"gpu-{gpu}"


def launch_files(
    placement: Placement, inventory: Inventory, templates: Sequence[str], options: Options = AS_MEASURED
) -> list[LaunchFile]:
    """A file for each GPU and each template, named after its server: `gpu-0.compose.yaml`.

    Raises:
        InputError: as `render`.
    """
    return [
        render(
            name,
            recommendation(assignment, inventory),
            weighted(inventory, assignment),
            assignment.gpu_type.pair,
            replace(options, server=server_name(assignment.gpu)),
        )
        for assignment in placement.assignments
        for name in templates
    ]


def recommendation(assignment: Assignment, inventory: Inventory) -> Recommendation:
    """One GPU's part of a placement, as what is recommended for its adapters alone."""
    names = tuple(inventory.names[adapter] for adapter in assignment.adapters)
    return Recommendation(
        basis=assignment.gpu_type.pair.basis,
        settings=assignment.settings,
        flags=dict(assignment.flags),
        admission=Admission(len(names), assignment.request_rate, assignment.token_rate, names, ()),
        expected=assignment.expected,
        steady=not assignment.missed,
        trace=assignment.trace,
        verified=assignment.verified,
    )


def weighted(inventory: Inventory, assignment: Assignment) -> Inventory:
    """The adapters of one GPU, with the share of their requests that comes to it."""
    served = inventory.take(np.array(assignment.adapters, dtype=np.int64))
    if not assignment.weights:
        return served
    rate = served.workload.rate.copy()
    for position, adapter in enumerate(assignment.adapters):
        rate[position] *= assignment.weights.get(adapter, 1.0)
    return replace(served, workload=replace(served.workload, rate=rate))
