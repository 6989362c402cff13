"""Groups of adapters on servers whose flags are settled: those that run, and those that stand by."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.place.judge.servers import Servers
from advisor.place.judge.traffic import asked_of
from advisor.place.placement import Group
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError


def missed_under(servers: Servers, group: Group, flags: Mapping[str, int | float]) -> tuple[str, ...]:
    """What of the objective a group misses on a server that runs with these flags, headroom included.

    More adapters than `max_cpu_loras` are read from disk every now and then, which the models know nothing of: there
    has to be room in host memory for all of them or, where that is limited, for so many that hardly anybody waits.
    """
    problem = servers.problem
    workload = servers.workload(group, scale=1.0 + problem.headroom)
    in_host = int(flags.get("max_cpu_loras", len(workload)))
    if refused := servers.host(group.gpu_type).refuses_running(group.adapters, workload, in_host):
        return refused
    if (largest := int(workload.rank.max(initial=0))) > (most := int(flags.get("max_lora_rank", largest))):
        return (f"rank {largest} > max_lora_rank {most}",)
    if not workload.traffic.rate.any():
        return ()
    asked = asked_of(workload)
    fixed = {**dict(problem.inventory.fixed), **flags}
    slots = int(fixed.get("max_loras", len(asked)))
    fixed["max_cpu_loras"] = max(int(fixed.get("max_cpu_loras", slots)), slots)
    try:
        configurator = Configurator(problem.gpu_types[group.gpu_type].pair, problem.objective, fixed)
        return tuple(problem.objective.misses(configurator.configure(asked).expected))
    except (DoesNotFitError, ValueError) as error:
        return (str(error),)
