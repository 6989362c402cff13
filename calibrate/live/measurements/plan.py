"""What to measure, on which servers: the fewest starts that give the information.

Every start tells the size of the KV cache. One without LoRA tells what the bare model takes; one per number of slots
what adapters in use and slots as such cost; few more tell of memory at other ranks; and the middle one of the slots
loads adapters of every rank, lets a crowd wait, and serves Poisson traffic, some of which is fitted, some not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from calibrate.errors import CalibrationError
from calibrate.live.server.settings import LaunchSettings
from twin.lengths import SHAREGPT, Moments

IDLE_PROMPT, IDLE_ANSWER, IDLE_COUNT = 13, 60, 4
"""Requests that are alone on a server: tokens, and how many, one after the other."""
WAVES = 3
"""A full batch is answered so many times over."""
SHORT_PROMPT = 1
CROWD_PHASES = 5.25
"""Half a phase to begin, three that count, a quarter between arrivals and waiting, half until the crowd is gone, and
one that counts again."""
HURRIED_ANSWER = 60
"""Tokens of a full batch where minutes count."""
STEADY_ANSWER = 500
"""Tokens of the requests that keep every slot in use while a crowd waits: of each adapter several, never all at once
over."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Requests alone on the server, one after the other."""

    @property
    def key(self) -> str:
        """Names the measurement within its start."""
        return "idle"


@dataclass(frozen=True, slots=True)
class FullBatch:
    """A server kept full: so many requests of one size in flight, each for one of so many adapters at random."""

    batch: int
    prompt_tokens: int
    answer_tokens: int
    adapters: int
    """0: the bare model."""

    @property
    def key(self) -> str:
        """Names the measurement within its start."""
        return f"batch-{self.batch}-prompt-{self.prompt_tokens}-answer-{self.answer_tokens}-adapters-{self.adapters}"


@dataclass(frozen=True, slots=True)
class Loads:
    """Adapters of one rank, loaded from disk, then swapped between host memory and slots."""

    rank: int
    count: int
    """More than there are slots."""

    @property
    def key(self) -> str:
        """Names the measurement within its start."""
        return f"loads-rank-{self.rank}"


@dataclass(frozen=True, slots=True)
class Crowd:
    """A steady batch on all slots; then requests for other adapters arrive, wait for a slot in vain, and are gone.

    What they cost the steps of others, apart from all that serving them would cost.
    """

    per_adapter: int
    """Requests in the batch for each adapter that has a slot."""
    seconds: float
    """Of each phase."""
    round: int = 0
    """The same once more, later; all count."""

    @property
    def key(self) -> str:
        """Names the measurement within its start."""
        return "crowd" + (f"-round-{self.round}" if self.round else "")


@dataclass(frozen=True, slots=True)
class Hours:
    """Poisson traffic at a share of what the full batches say the server bears."""

    share: float
    adapters: int
    seconds: float
    seed: int
    validation: bool
    """Kept out of the fit."""
    round: int = 0
    """The same traffic again, later; the mean of the rounds counts (`calibrate.live.measurements.tabulate`)."""

    @property
    def key(self) -> str:
        """Names the measurement within its start."""
        again = f"-round-{self.round}" if self.round else ""
        return f"{'validation' if self.validation else 'served'}-{self.share:g}-adapters-{self.adapters}{again}"


Measurement = Idle | FullBatch | Loads | Crowd | Hours


@dataclass(frozen=True, slots=True)
class Start:
    """One server, and what is measured on it."""

    settings: LaunchSettings
    adapters: int
    """Dummy adapters it is started with."""
    measurements: tuple[Measurement, ...]
    variant: str = ""
    """Tells apart a server whose flags differ from those of the plan: nothing is fitted to it."""

    @property
    def key(self) -> str:
        """Names the start within the plan."""
        variant = f"-{self.variant}" if self.variant else ""
        return f"slots-{self.settings.max_loras}-rank-{self.settings.max_lora_rank}{variant}"


@dataclass(frozen=True, slots=True)
class Scale:
    """How far the plan goes."""

    slots: tuple[int, ...]
    """Ascending, at least two."""
    ranks: tuple[int, ...]
    """Ascending, at least two; the last is that of the adapters in use."""
    batches: tuple[int, ...]
    """Ascending."""
    prompts: tuple[int, ...]
    """Tokens, for prompts alone; at least two."""
    lengths: Moments
    """Of the Poisson traffic."""
    served_adapters: int
    """Of the Poisson traffic; more than the middle number of slots makes requests wait for them."""
    hour_seconds: float
    served_shares: tuple[float, ...] = (0.35, 0.7, 1.0, 2.0)
    validation_shares: tuple[float, ...] = (0.25, 0.5, 1.4)
    """Of what the server bears; the last one starves."""
    rounds: int = 1
    """How often the Poisson traffic is sent: more than once where the machine is sometimes slower for a while."""

    def __post_init__(self) -> None:
        for name, least in (("slots", 2), ("ranks", 2), ("batches", 2), ("prompts", 2)):
            values: tuple[int, ...] = getattr(self, name)
            if len(values) < least or list(values) != sorted(set(values)) or values[0] < 1:
                raise CalibrationError(f"{name}: at least {least} ascending numbers wanted, not {values}")
        if self.served_adapters <= self.middle_slots:
            raise CalibrationError(f"served_adapters: more than {self.middle_slots}, the middle of the slots, wanted")

    @property
    def middle_slots(self) -> int:
        """Slots of the server that serves Poisson traffic."""
        return self.slots[len(self.slots) // 2]

    @property
    def crowd(self) -> Crowd:
        """What its server bears for a few seconds: two to four requests a slot, in half of the largest batch."""
        fits = self.batches[-1] // 2 // self.middle_slots
        return Crowd(per_adapter=min(max(fits, 2), 4), seconds=min(0.15 * self.hour_seconds, 8.0))


GPU = Scale(
    slots=(8, 32, 96, 192, 384),
    ranks=(8, 16, 32),
    batches=(1, 8, 32, 64, 128, 256, 512),
    prompts=(128, 512, 1024),
    lengths=SHAREGPT._replace(correlation=0.0),
    served_adapters=192,
    hour_seconds=600,
)
BRIEF = replace(
    GPU,
    slots=(8, 64, 256),
    ranks=(8, 32),
    batches=(1, 32, 128, 512),
    prompts=(128, 1024),
    served_adapters=128,
    hour_seconds=60,
)
"""For a GPU that is there for half an hour."""
QUARTER = replace(
    BRIEF,
    slots=(1, 32, 128),
    ranks=(8, 16),
    batches=(8, 32, 128),
    served_adapters=64,
    validation_shares=(0.5,),
)
"""For a GPU that is there for a quarter of an hour: see `hurried`."""
CPU = Scale(
    slots=(2, 8, 16),
    ranks=(8, 16),
    batches=(1, 4, 16, 64),
    prompts=(16, 64, 128),
    lengths=Moments(16, 8, 40, 20),
    served_adapters=16,
    hour_seconds=20,
    rounds=6,
)


def plan(scale: Scale, base: LaunchSettings) -> tuple[Start, ...]:
    """The starts in the order in which they are taken; `base` holds the flags that all share."""
    rank, middle = scale.ranks[-1], scale.middle_slots
    starts = [Start(replace(base, max_loras=0), 0, (Idle(), *_bare(scale)))]
    for slots in scale.slots:
        measurements: tuple[Measurement, ...] = (Idle(), *_in_use(scale, slots))
        if slots == middle:
            measurements += tuple(Loads(each, slots + max(2, slots // 4)) for each in scale.ranks)
            measurements += tuple(_rounds(scale))
        adapters = max(slots, scale.served_adapters if slots == middle else 0)
        starts.append(Start(_with(base, slots, rank, adapters), adapters, measurements))
    lesser = [(scale.slots[-1], other) for other in scale.ranks[:-1]] + [(scale.slots[0], scale.ranks[0])]
    starts += [Start(_with(base, slots, other, slots), 1, (Idle(),)) for slots, other in lesser]
    return tuple(starts)


def hurried(scale: Scale, base: LaunchSettings) -> tuple[Start, ...]:
    """Servers to hold a derived Profile to, the most telling first: none is enough for a Profile of its own.

    The middle of the slots, no LoRA, the most, the fewest; each with full batches, those with LoRA with traffic.
    """
    rank, middle = scale.ranks[-1], scale.middle_slots
    others = sorted({scale.slots[0], scale.slots[-1]} - {middle}, reverse=True)
    share, seconds = scale.validation_shares[0], scale.hour_seconds
    starts = []
    for slots in (middle, 0, *others):
        adapters = max(slots, scale.served_adapters) if slots > 1 else slots
        short = [
            FullBatch(batch, SHORT_PROMPT, HURRIED_ANSWER, used)
            for batch in scale.batches
            for used in sorted({min(slots, batch), *([1] if slots and batch == scale.batches[-1] else [])})
        ]
        measurements: tuple[Measurement, ...] = (Idle(), *short, fullest(scale, slots))
        if slots:
            measurements += (Hours(share, adapters, seconds, 100, validation=True),)
        starts.append(Start(_with(base, slots, rank, adapters), adapters, measurements))
    return tuple(starts)


def _with(base: LaunchSettings, slots: int, rank: int, adapters: int) -> LaunchSettings:
    spare = max(2, slots // 4)
    return replace(base, max_loras=slots, max_lora_rank=rank, max_cpu_loras=max(slots + spare, adapters) + 1)


def _bare(scale: Scale) -> list[Measurement]:
    answer = round(scale.lengths.output_mean)
    full: list[Measurement] = [
        FullBatch(batch, prompt, answer, 0) for batch in scale.batches for prompt in (SHORT_PROMPT, scale.prompts[0])
    ]
    full.append(FullBatch(scale.batches[len(scale.batches) // 2], scale.prompts[-1], answer, 0))  # the longest context
    return full + prompts_alone(scale, 0)


def prompts_alone(scale: Scale, adapters: int) -> list[FullBatch]:
    """Steps full of prompt tokens, for so many adapters."""
    return [FullBatch(scale.batches[-1], prompt, 1, adapters) for prompt in scale.prompts]


def _in_use(scale: Scale, slots: int) -> list[Measurement]:
    answer = round(scale.lengths.output_mean)
    used = sorted({1, max(1, slots // 4), slots})
    batches = (scale.batches[len(scale.batches) // 2], scale.batches[-1])
    short = [FullBatch(batch, SHORT_PROMPT, answer, adapters) for batch in batches for adapters in used]
    return [*short, fullest(scale, slots)]


def fullest(scale: Scale, slots: int) -> FullBatch:
    """What a server bears of traffic with these lengths: Poisson traffic takes its rates from it."""
    return FullBatch(scale.batches[-1], round(scale.lengths.input_mean), round(scale.lengths.output_mean), slots)


def _rounds(scale: Scale) -> list[Measurement]:
    def hours(shares: Sequence[float], seed: int, validation: bool, turn: int) -> list[Hours]:
        return [
            Hours(share, scale.served_adapters, scale.hour_seconds, seed + index, validation, turn)
            for index, share in enumerate(shares)
        ]

    found: list[Measurement] = []
    for turn in range(scale.rounds):
        both = hours(scale.served_shares, 0, False, turn) + hours(scale.validation_shares, 100, True, turn)
        mixed = sorted(both, key=lambda one: one.share)  # for a machine has slow minutes
        found += [replace(scale.crowd, round=turn), *mixed]
    return found


def estimated_s(starts: Sequence[Start], *, start_s: float, step_ms: float) -> float:
    """How long the plan takes, seconds.

    Args:
        starts: the plan, or what is left of it.
        start_s: of one server.
        step_ms: a guess at the duration of a step.
    """
    total = start_s * len(starts)
    for start in starts:
        for measurement in start.measurements:
            match measurement:
                case Idle():
                    total += 1e-3 * step_ms * IDLE_COUNT * IDLE_ANSWER
                case FullBatch():
                    total += 1e-3 * step_ms * WAVES * measurement.answer_tokens * (1 + measurement.batch / 256)
                case Loads():
                    total += 1e-3 * step_ms * 10 * measurement.count
                case Crowd():
                    total += CROWD_PHASES * measurement.seconds
                case Hours():
                    total += measurement.seconds
    return total


def table(starts: Sequence[Start]) -> Table:
    """The plan, one row per start."""
    found = Table(title="plan", title_justify="left")
    for name in ("slots", "max rank", "adapters"):
        found.add_column(name, justify="right")
    found.add_column("measurements")
    for start in starts:
        settings, keys = start.settings, (one.key for one in start.measurements)
        found.add_row(str(settings.max_loras), str(settings.max_lora_rank), str(start.adapters), ", ".join(keys))
    return found
