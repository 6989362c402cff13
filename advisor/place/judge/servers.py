"""What becomes of a group of adapters on one GPU: settings, expectation, and whether it keeps the objective."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from advisor.derive.llm import modules
from advisor.errors import InputError
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.place.judge.host import Host
from advisor.place.judge.traffic import Floats, asked_of, kinds, traffic_of
from advisor.place.placement import Assignment, Group
from advisor.place.problem import GpuType, Problem
from advisor.recommend.choice.configuration import Configuration, Configurator, DoesNotFitError
from advisor.recommend.server.context import Context, settle_context
from advisor.recommend.server.launched import with_settings
from advisor.recommend.server.room import shortages
from twin.settings import LORA_RANKS
from twin.workload import Workload

UNEVEN, UNEVEN_CHANCE = 2.5, 0.985
"""How likely each of many GPUs has to keep the objective at least, where work comes unevenly: in bursts, or as requests
of very different lengths, so that its variance is so many times that of Poisson arrivals of requests of equal length.
What a pair requires lets one hour in twenty miss, nearly all of them of such mixes: little for a single server, but of
ten GPUs every second placement would have one. Of the papers' mixes none of 150 GPUs missed by the pair's own."""

Progress = Callable[[int, int | None], None]
"""Told how many GPUs of how many have been simulated and, while these are sought, how many groups have been judged, of
nobody knows how many."""


@dataclass(frozen=True, slots=True)
class Server:
    """A group on a GPU, judged; `configuration` is None where not even the memory suffices."""

    configuration: Configuration | None
    missed: tuple[str, ...]
    """The conditions of the objective that it fails, headroom included; empty where it keeps the objective."""


@dataclass(slots=True)
class _Count:
    groups: int = 0


class Servers:
    """Judges groups of one problem, by the models of the pair."""

    def __init__(self, problem: Problem, progress: Progress | None = None) -> None:
        """Settle what holds for every GPU.

        Raises:
            InputError: a shipped file is missing or altered.
        """
        self.problem, self._progress = problem, progress
        self._count = _Count()
        self.base = 0.0
        """Of requests that name no adapter, the share that comes to every GPU of which nobody says how many."""
        self._known: dict[tuple[object, ...], Server] = {}
        self._loads: dict[tuple[object, ...], float] = {}
        self._without_headroom: dict[tuple[object, ...], Configuration] = {}
        self._kind = kinds(problem.inventory)
        self._hosts = [Host.of(problem.inventory, each.pair) for each in problem.gpu_types]
        self.shares: dict[int, Floats] = {}
        """By type of GPU, what each adapter takes of one at least (see `bound`), once that is known."""
        self._contexts = [self._settled(each) for each in problem.gpu_types]

    def of(self, problem: Problem) -> Servers:
        """Judges of another problem, that count on and tell whoever these tell."""
        others = type(self)(problem, self._progress)
        others._count = self._count
        return others

    @property
    def evaluations(self) -> int:
        """Groups judged so far."""
        return self._count.groups

    @evaluations.setter
    def evaluations(self, groups: int) -> None:
        self._count.groups = groups

    def warnings(self, gpu_types: Sequence[GpuType]) -> tuple[str, ...]:
        """What is to be told of the settings that hold for every GPU of these types."""
        contexts = (self._contexts[self.problem.gpu_types.index(each)] for each in gpu_types)
        of_contexts = (each for context in contexts for each in (*context.warnings, *context.told_of_any))
        of_pairs = (note for each in gpu_types for note in each.pair.notes)
        touched = self.problem.inventory.target_modules.values()
        of_modules = (note for each in gpu_types for note in modules.notes(touched, each.pair.shape, each.pair.model))
        return tuple(dict.fromkeys((*of_contexts, *of_pairs, *of_modules)))

    def mix(self, gpu_type: int = 0) -> Workload:
        """All adapters, with the traffic that servers on this type of GPU accept."""
        context = self._contexts[gpu_type]
        return context.accepted or self.problem.inventory.mix

    def worth(self, served: NDArray[np.bool_]) -> float:
        """Adapters times tokens/s of those that are served, shape (adapters,): adapters alone where nobody is asked."""
        mix = self.mix()
        load = (mix.rate * (mix.input_mean + mix.output_mean))[served]
        return len(load) * (float(load.sum()) or 1.0)

    def workload(self, group: Group, *, scale: float = 1.0) -> Workload:
        """The adapters of a group with the traffic that comes to it, all rates times `scale`."""
        return traffic_of(self._with_base(group), self.mix(group.gpu_type), scale=scale)

    def judge(self, group: Group) -> Server:
        """Settings for a group, by the rules or the group's own slots, and whether it keeps the objective."""
        group, key = self._with_base(group), self.key(group)
        if key not in self._known:
            self._count.groups += 1
            self._known[key] = self._judged(group)
            if self._progress is not None:
                self._progress(self.evaluations, None)
        return self._known[key]

    def forget(self) -> None:
        """Judge all groups anew."""
        self._known.clear()

    def _with_base(self, group: Group) -> Group:
        return replace(group, base=self.base) if group.base is None else group

    def key(self, group: Group) -> tuple[object, ...]:
        """What is the same for groups of alike adapters."""
        group = self._with_base(group)
        kinds = np.sort(self._kind[np.array(group.adapters, dtype=np.int64)])
        weights = sorted((int(self._kind[adapter]), weight) for adapter, weight in group.weights.items())
        return group.gpu_type, group.max_loras, group.base, tuple(weights), kinds.tobytes()

    def host(self, gpu_type: int = 0) -> Host:
        """That of a server on this type of GPU."""
        return self._hosts[gpu_type]

    def _judged(self, group: Group) -> Server:
        """By the models, and by what host memory holds."""
        server, refused = self._by_models(group), self.refused_by_host(group)
        if server.configuration is None or not refused:
            return server
        return replace(server, missed=(*refused, *server.missed))

    def refused_by_host(self, group: Group) -> tuple[str, ...]:
        """Why host memory does not do for a group; nothing where it does."""
        host = self.host(group.gpu_type)
        if not host.limited:
            return ()
        return host.refuses(group.adapters, self.workload(group, scale=1.0 + self.problem.headroom))

    def _by_models(self, group: Group) -> Server:
        workload = self.workload(group, scale=1.0 + self.problem.headroom)
        try:
            configuration = self._configure(group, workload, group.max_loras)
        except DoesNotFitError as error:
            return Server(None, (str(error),))
        if not workload.traffic.rate.any():
            return Server(configuration, ())
        expected = configuration.expected
        if len(group.adapters) > 1 and uneven(configuration.values):  # of one alone there is no less to ask of a GPU
            expected = replace(expected, required_chance=max(expected.required_chance, UNEVEN_CHANCE))
        if not expected.shortages:
            short = shortages(
                asked_of(workload),
                configuration.values,
                expected.itl_ms,
                expected.kv_capacity_tokens,
                configuration.settings,
            )
            expected = replace(expected, shortages=tuple(short))
        return Server(replace(configuration, expected=expected), tuple(self.problem.objective.misses(expected)))

    def assign(self, gpu: int, group: Group) -> Assignment | None:
        """The group as an assignment to the GPU of this number; None where the server would not even start."""
        group = self._with_base(group)
        server = self.judge(group)
        if server.configuration is None:
            return None
        configuration, workload = server.configuration, self.workload(group)
        if self.problem.headroom:
            # Slots for more traffic than there is; what to expect is of the traffic there is.
            key = self.key(group), (slots := configuration.settings.max_loras)
            if key not in self._without_headroom:
                self._without_headroom[key] = self._configure(group, workload, slots)
            configuration = replace(self._without_headroom[key], settings=configuration.settings)
        gpu_type = self.problem.gpu_types[group.gpu_type]
        profile = gpu_type.pair.profile
        return Assignment(
            gpu=gpu,
            gpu_type=gpu_type,
            adapters=group.adapters,
            settings=configuration.settings,
            flags=configuration.settings.flags(profile.memory.max_model_len),
            expected=configuration.expected,
            missed=server.missed,
            weights=group.weights,
            request_rate=float(workload.traffic.rate.sum()),
            token_rate=workload.offered_tok_s,
            load=self.load(group),
            active_adapters=float(configuration.values.get("active_adapters", 0.0)),
            trace=configuration.trace,
            base=0.0 if group.base is None or workload.base is None else group.base,
        )

    def load(self, group: Group) -> float:
        """Offered token rate over the most that one GPU serves of this mix in equilibrium, by the pair's Profile."""
        key = self.key(group)
        if key not in self._loads:
            self._loads[key] = self._load(group)
        return self._loads[key]

    def _load(self, group: Group) -> float:
        workload, gpu_type = self.workload(group), self.problem.gpu_types[group.gpu_type]
        launched = with_settings(gpu_type.pair.profile, self.fixed(group.gpu_type))
        if not workload.traffic.rate.any():
            return 0.0
        asked, served = asked_of(workload), int(np.count_nonzero(workload.rate))
        alone = estimate(ServedMix(replace(asked, base=None), launched)).max_adapters
        if asked.base is None:
            return served / alone
        # Adapters and base traffic each take their share of a GPU; the latter's is what it leaves too little for.
        return served / alone + 1.0 - estimate(ServedMix(asked, launched)).max_adapters / alone

    def _configure(self, group: Group, workload: Workload, max_loras: int | None) -> Configuration:
        gpu_type, asked = self.problem.gpu_types[group.gpu_type], asked_of(workload)
        fixed = self.fixed(group.gpu_type)
        room = self.host(group.gpu_type).room(group.adapters, workload)
        if room is not None and room.slots < int(fixed.get("max_loras", 1)):
            raise DoesNotFitError(room.too_small(int(fixed.get("max_loras", 1))), ())
        if max_loras is not None and "max_loras" not in fixed:
            fixed["max_loras"] = min(max_loras, max(len(workload), 1), sys.maxsize if room is None else room.slots)
        idle = np.flatnonzero(workload.rate == 0)
        configurator = Configurator(
            gpu_type.pair,
            self.problem.objective,
            fixed,
            idle_adapters=max(len(workload) - len(asked), 0),
            idle_rank=int(workload.rank[idle].max(initial=0)),
            host_slots=None if room is None else room.slots,
        )
        return configurator.configure(asked)

    def _settled(self, gpu_type: GpuType) -> Context:
        inventory = self.problem.inventory
        if not inventory.mix.traffic.rate.any():
            return Context(gpu_type.pair.profile.memory.max_model_len, 0.0, None, ())
        profile = gpu_type.pair.profile
        # All servers take sequences of one length: the model's own wherever they start with it, as if that were asked.
        server = {"max_model_len": profile.memory.max_model_len, **inventory.server}
        context = settle_context(inventory.mix, profile, server, dict(inventory.fixed))
        if context.accepted is None:
            raise InputError(f"no request fits into max_model_len {context.max_model_len:,}")
        return context

    def fixed(self, gpu_type: int) -> dict[str, int | float]:
        """Settings that stay on this type of GPU, by vLLM's names."""
        fixed, context = dict(self.problem.inventory.fixed), self._contexts[gpu_type]
        if context.max_model_len != self.problem.gpu_types[gpu_type].pair.profile.memory.max_model_len:
            fixed["max_model_len"] = context.max_model_len
        return fixed

    def refused(self) -> dict[int, str]:
        """Adapters that vLLM would not load under the fixed settings -> why."""
        most = int(self.problem.inventory.fixed.get("max_lora_rank", LORA_RANKS[-1]))
        above = np.flatnonzero(self.problem.inventory.mix.rank > most)
        return {int(each): f"rank above the fixed max_lora_rank {most}, which vLLM refuses to load" for each in above}


def uneven(values: Mapping[str, float]) -> bool:
    """Whether work comes unevenly, by the features of a server; not where nobody is asked."""
    return "dispersion" in values and values["dispersion"] > UNEVEN * (values["input_mean"] + values["output_mean"])
