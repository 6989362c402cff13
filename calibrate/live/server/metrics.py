"""What a server's `/metrics` says at one moment, or between two."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from calibrate.errors import CalibrationError
from calibrate.live.server.address import server_url

RUNNING = ("vllm:num_requests_running",)
WAITING = ("vllm:num_requests_waiting",)
KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
PREEMPTIONS = ("vllm:num_preemptions_total",)
PROMPT_TOKENS = ("vllm:prompt_tokens_total",)
GENERATION_TOKENS = ("vllm:generation_tokens_total",)
STEP_TOKENS = ("vllm:iteration_tokens_total",)
"""Histogram: count = engine steps, sum = tokens."""
ITL = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
"""Histogram of s, as the API server sees it."""
CACHE_CONFIG = "vllm:cache_config_info"
"""Names of the metrics, the newest first: KV_USAGE and ITL are called otherwise in vLLM 0.8.5."""

SCRAPE_S = 10.0
"""Longest wait for an answer."""
GROWING = ("counter", "histogram", "summary")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of `/metrics`. Every method takes a metric's names over vLLM's versions and reads the first found.

    The methods raise CalibrationError where the server tells none of them.
    """

    samples: Mapping[str, Mapping[Labels, float]]
    """Name, as in the text -> labels -> value."""
    growing: frozenset[str]
    """Names of what only grows: counters, and the parts of histograms."""
    at_s: float
    """On this machine's monotonic clock; of a difference, the seconds between."""

    @classmethod
    def parse(cls, text: str, at_s: float = math.nan, only: Sequence[str] = ()) -> Scrape:
        """Read Prometheus' text format, all of it or, much faster, the metrics named in `only`.

        Raises:
            CalibrationError: it is no such text.
        """
        if only:
            wanted = tuple(start for name in only for start in (name, f"# TYPE {name}"))
            text = "\n".join(line for line in text.splitlines() if line.startswith(wanted)) + "\n"
        samples: dict[str, dict[Labels, float]] = {}
        growing = set()
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    labels = tuple(sorted(sample.labels.items()))
                    samples.setdefault(sample.name, {})[labels] = float(sample.value)
                    if family.type in GROWING:
                        growing.add(sample.name)
        except (ValueError, IndexError, KeyError) as error:
            raise CalibrationError(f"/metrics: not Prometheus' text format: {error}") from error
        return cls(samples, frozenset(growing), at_s)

    def gauge(self, *names: str) -> float:
        """The value, summed over labels; with one engine there is one value."""
        return sum(self._values(*names).values())

    def counter(self, *names: str) -> float:
        """The count since the server started, or of a difference since then; summed over labels."""
        return sum(self._values(*names).values())

    def histogram(self, *names: str) -> tuple[float, float]:
        """Number and sum of the observations, summed over labels."""
        count = self._values(*(f"{name}_count" for name in names))
        total = self._values(*(f"{name}_sum" for name in names))
        return sum(count.values()), sum(total.values())

    @property
    def kv_capacity_tokens(self) -> int:
        """As newer servers say it, else blocks x block size; one block of them is never used."""
        labels = dict(next(iter(self._values(CACHE_CONFIG))))
        try:
            if "kv_cache_size_tokens" in labels:
                return int(labels["kv_cache_size_tokens"])
            return int(labels["num_gpu_blocks"]) * int(labels["block_size"])
        except (KeyError, ValueError) as error:
            raise CalibrationError(f"/metrics: {CACHE_CONFIG}: no num_gpu_blocks and block_size in {labels}") from error

    def since(self, earlier: Scrape) -> Scrape:
        """What has been counted since an earlier scrape; gauges stay as they are now.

        Raises:
            CalibrationError: a count has fallen, for the server was started anew in between.
        """
        samples = dict(self.samples)
        for name in self.growing & samples.keys():
            before = earlier.samples.get(name, {})
            samples[name] = {labels: value - before.get(labels, 0.0) for labels, value in samples[name].items()}
            if not name.endswith("_sum") and min(samples[name].values(), default=0.0) < 0:
                raise CalibrationError(f"/metrics: {name} has fallen: the server was restarted between two scrapes")
        return replace(self, samples=samples, at_s=self.at_s - earlier.at_s)

    def _values(self, *names: str) -> Mapping[Labels, float]:
        for name in names:
            if name in self.samples:
                return self.samples[name]
        near = difflib.get_close_matches(names[0], self.samples, n=1)
        raise CalibrationError(
            f"/metrics: no {' or '.join(names)}" + (f"; the nearest is {near[0]}" if near else "; is it a vLLM server?")
        )


async def scrape(url: str, *, only: Sequence[str] = (), allow_remote: bool = False) -> Scrape:
    """Read `/metrics` of a server once.

    Raises:
        CalibrationError: the server is not on this machine, cannot be reached, or answers something else.
    """
    base = server_url(url, allow_remote=allow_remote)
    timeout = aiohttp.ClientTimeout(total=SCRAPE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base}/metrics", allow_redirects=False) as response,
        ):
            text = await response.text()
    except TimeoutError as error:
        raise CalibrationError(f"{base}/metrics: no answer within {SCRAPE_S:g} s") from error
    except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{base}/metrics: {error}") from error
    if response.status != 200:
        raise CalibrationError(f"{base}/metrics: HTTP {response.status}")
    return Scrape.parse(text, time.perf_counter(), only)
