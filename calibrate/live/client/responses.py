"""Responses of a server as the client saw them, and what they come to in the columns of the measurement tables."""
# The measures are those of vLLM's own benchmark (`vllm bench serve`): over completed requests, a chunk of the stream
# being a token; chunks that the server has merged count as one in ITL, and as what they hold in TPOT.

from __future__ import annotations

import csv
import io
import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibrate.live.client.traffic import Request

RECORD = ("sent_s", "adapter", "input_tokens", "output_tokens", "ttft_ms", "tpot_ms", "completed", "error")
"""Columns of the records of a measurement."""


@dataclass(frozen=True, slots=True)
class Response:
    """What became of one request; times in seconds since the start of the traffic."""

    request: Request
    due_s: float
    """When it was to be sent; NaN in a closed loop."""
    sent_s: float
    first_s: float = math.nan
    """First chunk with a token."""
    last_s: float = math.nan
    """Last chunk with a token."""
    gaps_s: array[float] = field(default_factory=lambda: array("f"))
    """Between chunks, single precision; one fewer than there were chunks."""
    input_tokens: int = 0
    """As the server counted them, else as sent."""
    output_tokens: int = 0
    """As the server counted them, else the chunks."""
    completed: bool = False
    """The stream came to its end; false for what failed and for what was aborted at the deadline."""
    error: str | None = None

    @property
    def ttft_s(self) -> float:
        """Time to the first token since sending."""
        return self.first_s - self.sent_s

    @property
    def tpot_s(self) -> float:
        """Time per output token after the first; NaN for a single token."""
        return (self.last_s - self.first_s) / (self.output_tokens - 1) if self.output_tokens > 1 else math.nan

    @property
    def lag_s(self) -> float:
        """Sent so much later than planned; NaN in a closed loop."""
        return self.sent_s - self.due_s


@dataclass(frozen=True, slots=True)
class Responses:
    """All that came back."""

    responses: tuple[Response, ...]
    """In order of sending."""
    duration_s: float
    """From the start until the last answer had ended, or all were aborted."""

    @property
    def completed(self) -> list[Response]:
        """Responses that came to their end."""
        return [one for one in self.responses if one.completed]

    @property
    def errors(self) -> Counter[str]:
        """What failed: message -> requests."""
        return Counter(one.error for one in self.responses if one.error is not None)

    @property
    def aborted(self) -> int:
        """Requests that were under way at the deadline."""
        return sum(one.error is None and not one.completed for one in self.responses)

    @property
    def lag_p99_ms(self) -> float:
        """How late the client itself sent, ms; NaN in a closed loop.

        TTFT counts from sending and does not hold it, but a client that the machine keeps waiting reads tokens as late:
        distrust times shorter than this.
        """
        return _quantile(_array(one.lag_s for one in self.responses), 0.99)

    def records(self) -> str:
        """CSV, a line per request in order of sending.

        What was asked of whom and when, and what came of it: times in s and ms, empty where there is nothing to tell.
        """
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(RECORD)
        for one in self.responses:
            asked, times_ms = one.request, (1e3 * one.ttft_s, 1e3 * one.tpot_s)
            figures = ["" if math.isnan(value) else f"{value:.3f}" for value in times_ms]
            who = (asked.adapter or "", asked.prompt_tokens, asked.answer_tokens)
            writer.writerow([f"{one.sent_s:.6f}", *who, *figures, int(one.completed), one.error or ""])
        return lines.getvalue()

    def summary(self) -> dict[str, float]:
        """In the columns of the measurement tables, and `failed`, `aborted`, `lag_p99_ms`.

        Times are means and quantiles over completed requests, NaN where none completed; as in vLLM's benchmark TPOT
        and ITL are 0 where no answer has a second token.
        """
        done = self.completed
        tokens_in = sum(one.input_tokens for one in done)
        tokens_out = sum(one.output_tokens for one in done)
        ttft = _array(one.ttft_s for one in done)
        tpot = _array(one.tpot_s for one in done if one.output_tokens > 1)
        gaps = np.concatenate([np.frombuffer(one.gaps_s, dtype=np.float32) for one in done]) if done else _array(())
        nothing = 0.0 if done else math.nan
        return {
            "completed": len(done),
            "arrivals": len(self.responses),
            "failed": self.errors.total(),
            "aborted": self.aborted,
            "duration_s": self.duration_s,
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "input_tok_s": tokens_in / self.duration_s,
            "output_tok_s": tokens_out / self.duration_s,
            "ttft_mean_ms": _mean(ttft),
            "ttft_p50_ms": _quantile(ttft, 0.5),
            "ttft_p99_ms": _quantile(ttft, 0.99),
            "tpot_mean_ms": _mean(tpot, nothing),
            "itl_mean_ms": _mean(gaps, nothing),
            "itl_p50_ms": _quantile(gaps, 0.5, nothing),
            "itl_p99_ms": _quantile(gaps, 0.99, nothing),
            "lag_p99_ms": self.lag_p99_ms,
        }


Floats = NDArray[np.float64] | NDArray[np.float32]


def _array(values: Iterable[float]) -> NDArray[np.float64]:
    return np.fromiter(values, dtype=np.float64)


def _mean(seconds: Floats, nothing: float = math.nan) -> float:
    return 1e3 * float(seconds.mean(dtype=np.float64)) if len(seconds) else nothing


def _quantile(seconds: Floats, share: float, nothing: float = math.nan) -> float:
    return 1e3 * float(np.quantile(seconds, share)) if len(seconds) else nothing
