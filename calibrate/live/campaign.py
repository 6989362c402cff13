"""Work through a plan: start servers, measure, keep every figure at once, go on where it was left.

A finished measurement is one JSON file, `<start>/<measurement>.json`, in the campaign's folder; what is there already
is not measured again. A server that runs out of memory at start is a finding, too: `<start>/start.json` says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from calibrate import output
from calibrate.live import plan
from calibrate.live.adapters import Decoder, Lora, read_decoder, write_adapters
from calibrate.live.measure import Row, Site, measure
from calibrate.live.plan import Loads, Measurement, Scale, Start
from calibrate.live.server import Server, launched
from calibrate.live.start import StartFailure

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
    """Called with a line on what is being done."""

    def run(self) -> None:
        """Take every measurement that is not there yet.

        Raises:
            CalibrationError: a server or a measurement fails; what was measured before is kept.
        """
        decoder = read_decoder(self.model)
        for start in self.starts:
            if self.left(start):
                self._on_server(start, decoder)

    def left(self, start: Start) -> list[Measurement]:
        """What is still to be measured on a start; nothing on one that ran out of memory."""
        if self.row(start, START).get("oom"):
            return []
        return [one for one in start.measurements if not self._file(start, one.key).exists()]

    def row(self, start: Start, key: str) -> Row:
        """The figures of a measurement; none if it is not there."""
        file = self._file(start, key)
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _on_server(self, start: Start, decoder: Decoder) -> None:
        adapters = self._adapters(decoder, start.settings.max_lora_rank, start.adapters, "adapter")
        self.say(f"{start.key}: starting the server")
        try:
            with launched(
                str(self.model),
                start.settings,
                log=self.folder / start.key / "server.log",
                vllm=self.vllm,
                adapters=adapters,
                environment=self.environment,
                progress=lambda line: self.say(f"{start.key}: {line}"),
            ) as server:
                self._keep(start, START, _told(server))
                site = Site(server, start.settings.max_loras, start.settings.max_lora_rank, list(adapters), self.scale)
                for one in self.left(start):
                    self.say(f"{start.key}: {one.key}")
                    folders = (
                        self._adapters(decoder, one.rank, one.count, f"rank-{one.rank}")
                        if isinstance(one, Loads)
                        else {}
                    )
                    row = measure(one, site, capacity_tok_s=self._capacity_tok_s(start), folders=folders)
                    self._keep(start, one.key, row)
        except StartFailure as failure:
            self._keep(start, START, {"oom": 1, "message": str(failure), "vllm": failure.version or ""})

    def _capacity_tok_s(self, start: Start) -> float:
        """Output tokens/s of the fullest batch on this server."""
        row = self.row(start, plan.fullest(self.scale, start.settings.max_loras).key)
        return float(row.get("output_tok_s", 0.0))

    def _adapters(self, decoder: Decoder, rank: int, count: int, name: str) -> dict[str, Path]:
        """Dummy adapters on disk, the same for all starts of a rank."""
        if not count:
            return {}
        wanted = {f"{name}-{index}": Lora(rank) for index in range(count)}
        return dict(write_adapters(self.folder / "adapters" / f"{rank}", decoder, wanted))

    def _file(self, start: Start, key: str) -> Path:
        return self.folder / start.key / f"{key}.json"

    def _keep(self, start: Start, key: str, row: Row) -> None:
        output.write(self._file(start, key), f"{json.dumps(row, indent=1)}\n".encode())


def _told(server: Server) -> Row:
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
