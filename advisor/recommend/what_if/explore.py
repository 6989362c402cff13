"""An answer with what binds and the levers."""

from __future__ import annotations

from dataclasses import replace

from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.outlook import Binding, Resource
from advisor.recommend.answer.reasons import Missed
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.uncertainty import admitting
from advisor.recommend.what_if.binding import binding
from advisor.recommend.what_if.levers import levers, unfixed
from advisor.recommend.what_if.mix import Mix
from advisor.zoo.pair import Pair
from twin.settings import slot_rank

MOST_ADAPTERS = 10_000
"""That are asked: the models are asked some dozens of times, each of which takes the longer, the more there are."""


def explored(inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation) -> Recommendation:
    """The answer with what binds and the levers; with a warning instead where it is about too many adapters."""
    admitted = inventory.only(answer.admission.admitted)
    if int((admitted.workload.rate > 0).sum()) > MOST_ADAPTERS:
        unasked = (
            f"what binds and what would help is left out: to ask the models of more than {MOST_ADAPTERS:,} adapters "
            "some dozens of times would take seconds"
        )
        return replace(answer, warnings=(*answer.warnings, unasked))
    answer = replace(answer, binding=_binding(inventory, pair, objective, answer))
    return replace(answer, levers=levers(inventory, pair, objective, answer))


def _binding(inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation) -> Binding | None:
    if not answer.feasible:
        return None
    sought = admitting(pair, inventory)
    found = binding(Mix(inventory.only(answer.admission.admitted), sought, objective), sought.profile)
    if (
        found is not None
        and found.what in ("compute", "certainty")
        and _slots_alone(inventory, pair, objective, answer, found)
    ):
        found = replace(found, what="adapter_slots", unsure_up_to=None)
    if found is None or not answer.admission.rejected or found.what == "host_memory":
        return found
    admitted = inventory.only(answer.admission.admitted).workload.rank
    others = inventory.only(answer.admission.rejected).workload.rank
    if slot_rank(float(others.min())) > slot_rank(float(admitted.max())):
        return replace(found, what="slot_rank")
    ends = [step.reasons[0] for step in answer.trace if step.output == "admission_limit"]
    missed = next((reason for reason in ends if isinstance(reason, Missed)), Missed(found.beyond, found.missed))
    if found.what == "nothing":  # by themselves those that are admitted are far from any limit; one more is not
        found = replace(found, what=_missed(missed.misses))
    return replace(
        found,
        adapters=found.admitted,
        at_least=False,
        load=1.0,
        beyond=missed.count,
        missed=missed.misses,
        at_limit=found.in_flight,
    )


def _missed(missed: tuple[str, ...]) -> Resource:
    """What a limit that is missed says of what binds."""
    limits: dict[str, Resource] = {"TTFT": "ttft_limit", "ITL": "itl_limit"}
    return next((limit for name, limit in limits.items() if any(each.startswith(name) for each in missed)), "compute")


def _slots_alone(
    inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation, found: Binding
) -> bool:
    """Whether slots are fixed, and with others what is too many adapters now would be served."""
    if "max_loras" not in inventory.fixed or not found.beyond:
        return False
    admitted = unfixed(inventory.only(answer.admission.admitted), "max_loras")
    return not Mix(admitted, admitting(pair, admitted), objective).misses(found.beyond)
