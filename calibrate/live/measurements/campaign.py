"""Work through a plan, server by server; every figure is kept as it is measured, so that a stopped campaign goes on.

FOLDER/slots-32-rank-16/{start,idle,batch-…,loads-…,served-…,validation-…}.json, server.log
FOLDER/slots-32-rank-16/{idle,batch-…,served-…,validation-…}.csv: the single requests
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from calibrate import output
from calibrate.errors import CalibrationError
from calibrate.live.measurements import plan
from calibrate.live.measurements.measure import Row, Site, measure
from calibrate.live.measurements.plan import Loads, Measurement, Scale, Start
from calibrate.live.server.adapters import Lora, read_decoder, write_adapters
from calibrate.live.server.running import RunningServer, launched
from calibrate.live.server.start import StartFailure

START = "start"


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is measured, and where the figures are kept."""

    model: Path
    """Folder with the model's `config.json`; its weights may be dummy ones."""
    scale: Scale
    starts: tuple[Start, ...]
    folder: Path
    vllm: str = "vllm"
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    """Called with a line on what begins."""
    watch: Callable[[str], None] = lambda _: None
    """Called about twice a second with a line on how a start is going."""

    def run(self, slots: Collection[int] = ()) -> None:
        """Take every measurement that is not there yet, on servers started for them; of these numbers of slots alone.

        Raises:
            CalibrationError: a server or a measurement fails; what was measured before is kept.
        """
        for start in self.starts:
            if self.left(start) and (not slots or start.settings.max_loras in slots):
                self._launch(start)

    def attach(self, server: RunningServer, start: Start, *, allow_remote: bool = False) -> None:
        """Take what is left of a start on a server that was started with its settings by someone else.

        Raises:
            CalibrationError: the measurement fails, or the server knows too few adapters and cannot load ours.
        """
        adapters = list(server.adapters)
        if len(adapters) < start.adapters:
            for name, folder in self._adapters(start.settings.max_lora_rank, start.adapters, "adapter").items():
                if name not in adapters:
                    server.load_adapter(name, folder)
                    adapters.append(name)
        self._keep(start, START, _start_row(server))
        self._measure(start, server, adapters, allow_remote=allow_remote)

    def note_out_of_memory(self, start: Start) -> None:
        """Keep that a server with these settings does not start for want of memory."""
        self._keep(start, START, {"oom": 1, "message": "as told", "vllm": ""})

    def start_with(self, max_loras: int, max_lora_rank: int) -> Start:
        """The start of the plan with these settings; of those that differ in other flags the first with work left.

        Raises:
            CalibrationError: there is none.
        """
        known: dict[tuple[int, int], list[Start]] = {}
        for start in self.starts:
            known.setdefault((start.settings.max_loras, start.settings.max_lora_rank), []).append(start)
        if (max_loras, max_lora_rank) not in known:
            wanted = ", ".join(f"{slots} x {rank}" for slots, rank in known)
            raise CalibrationError(
                f"no server with {max_loras} slots of rank {max_lora_rank} is in the plan; it has {wanted}"
            )
        alike = known[max_loras, max_lora_rank]
        return next((start for start in alike if self.left(start)), alike[0])

    def left(self, start: Start) -> list[Measurement]:
        """What is still to be measured on a start; nothing on one that ran out of memory."""
        if self.row(start, START).get("oom"):
            return []
        return [one for one in start.measurements if not self._file(start, one.key).exists()]

    def row(self, start: Start, key: str) -> Row:
        """The figures of a measurement; none if it is not there.

        Raises:
            CalibrationError: somebody has changed the file.
        """
        file = self._file(start, key)
        try:
            return dict(json.loads(file.read_text())) if file.exists() else {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise CalibrationError(
                f"{file}: not the figures that were kept here; remove it, and they are measured again"
            ) from error

    def records(self, start: Start, key: str) -> Path:
        """The file of a measurement's single requests (`calibrate.live.client.responses.RECORD`)."""
        return self._file(start, key).with_suffix(".csv")

    @property
    def took_s(self) -> float:
        """Time spent on starts and measurements, stops in between left out."""
        kept = [self.row(start, key) for start in self.starts for key in (START, *(x.key for x in start.measurements))]
        return sum(float(row.get(name, 0.0)) for row in kept for name in ("start_seconds", "seconds"))

    def _launch(self, start: Start) -> None:
        adapters = self._adapters(start.settings.max_lora_rank, start.adapters, "adapter")
        self.say(f"{start.key}: starting the server")
        try:
            with launched(
                str(self.model),
                start.settings,
                log=self.folder / start.key / "server.log",
                vllm=self.vllm,
                adapters=adapters,
                environment=self.environment,
                progress=lambda line: self.watch(f"{start.key}: {line}"),
            ) as server:
                self._keep(start, START, _start_row(server))
                self._measure(start, server, list(adapters))
        except StartFailure as failure:
            self.say(f"{start.key}: out of memory: {failure}")
            self._keep(start, START, {"oom": 1, "message": str(failure), "vllm": failure.version or ""})

    def _measure(self, start: Start, server: RunningServer, adapters: list[str], *, allow_remote: bool = False) -> None:
        settings = start.settings
        site = Site(server, settings.max_loras, settings.max_lora_rank, adapters, self.scale, allow_remote)
        for one in self.left(start):
            self.say(f"{start.key}: {one.key}")
            began = time.perf_counter()
            folders = self._adapters(one.rank, one.count, f"rank-{one.rank}") if isinstance(one, Loads) else {}
            measured = measure(one, site, capacity_tok_s=self._capacity_tok_s(start), folders=folders)
            if measured.responses is not None:
                output.write(self.records(start, one.key), measured.responses.records().encode())
            self._keep(start, one.key, measured.row | {"seconds": time.perf_counter() - began})

    def _capacity_tok_s(self, start: Start) -> float:
        """Output tokens/s of the fullest batch on this server."""
        row = self.row(start, plan.fullest(self.scale, start.settings.max_loras).key)
        return float(row.get("output_tok_s", 0.0))

    def _adapters(self, rank: int, count: int, name: str) -> dict[str, Path]:
        """Dummy adapters on disk, the same for all starts of a rank."""
        wanted = {f"{name}-{index}": Lora(rank) for index in range(count)}
        return dict(write_adapters(self.folder / "adapters" / f"{rank}", read_decoder(self.model), wanted))

    def _file(self, start: Start, key: str) -> Path:
        return self.folder / start.key / f"{key}.json"

    def _keep(self, start: Start, key: str, row: Row) -> None:
        output.write(self._file(start, key), f"{json.dumps(row, indent=1)}\n".encode())


def _start_row(server: RunningServer) -> Row:
    return {
        "oom": 0,
        "kv_capacity_tokens": server.kv_capacity_tokens,
        "vllm": server.version,
        "start_seconds": server.start_seconds or 0.0,
    }


def remaining_s(campaign: Campaign, *, start_s: float, step_ms: float) -> float:
    """An estimate of what is left to do, seconds (see `plan.estimated_s`)."""
    todo = [replace(start, measurements=tuple(campaign.left(start))) for start in campaign.starts]
    return plan.estimated_s([start for start in todo if start.measurements], start_s=start_s, step_ms=step_ms)
