"""Launch files of many servers: one for each GPU of a placement and each template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from advisor.deploy.write.render import LaunchFile, render
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.inventory.inventory import Inventory
from advisor.place.placement import Assignment, Placement
from advisor.recommend.answer.recommendation import Admission, Recommendation


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
            _served(assignment, inventory),
            assignment.gpu_type.pair,
            replace(options, server=server_name(assignment.gpu)),
        )
        for assignment in placement.assignments
        for name in templates
    ]


def recommendation(assignment: Assignment, inventory: Inventory) -> Recommendation:
    """One GPU's part of a placement, as what is recommended for its adapters alone."""
    names = tuple(inventory.names[adapter] for adapter in sorted((*assignment.adapters, *assignment.standby)))
    return Recommendation(
        basis=assignment.gpu_type.pair.basis,
        settings=assignment.settings,
        flags=assignment.launched_with,
        admission=Admission(len(names), assignment.request_rate, assignment.token_rate, names, ()),
        expected=assignment.expected,
        steady=not assignment.missed,
        trace=assignment.trace,
        verified=assignment.verified,
    )


def _served(assignment: Assignment, inventory: Inventory) -> Inventory:
    """Its adapters, and those that it stands by for: they are loaded from the same place."""
    if not assignment.standby:
        return assignment.served(inventory)
    return inventory.take(np.array(sorted((*assignment.adapters, *assignment.standby)), dtype=np.int64))
