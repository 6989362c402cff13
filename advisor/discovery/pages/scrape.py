"""Pages of metrics over HTTP: a server's own page, or a stretch of time from a Prometheus server's API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor import input_file
from advisor.discovery.pages.metrics import GATEWAYS
from advisor.discovery.pages.page import Page, counts, page, parse, sample
from advisor.errors import InputError

MAX_BYTES = 64 * 1024**2
"""Of a page; one with thousands of adapters and histograms for each has some ten."""
TIMEOUT_S = 30.0
_WHAT = "a page of metrics is a file, - or a URL such as http://server:8000/metrics"
_OF_VLLM = (
    "request_success_total", "prompt_tokens_total", "generation_tokens_total", "request_prompt_tokens",
    "request_generation_tokens", "lora_requests_info", "cache_config_info", "lora_adapter_loaded",
    "max_gpu_lora_adapters",
)  # fmt: skip
_SUFFIXES = ("", "_sum", "_count", "_bucket")


def is_url(source: str) -> bool:
    """Whether a source is to be asked over HTTP."""
    return source.startswith(("http://", "https://"))


def read(source: str) -> Page:
    """The page of a file, of the standard input (`-`) or of a URL.

    Raises:
        InputError: it cannot be read, or is no page of metrics.
    """
    if is_url(source):
        return parse(input_file.decoded(_get(source), source, _WHAT, MAX_BYTES), source)
    return parse(input_file.read_export(Path(source), _WHAT, MAX_BYTES), source)


def age_s(source: str, at: Page) -> float | None:
    """Seconds since the process began that just gave this page, by its own word; None where it does not say."""
    began = [each.value for each in at.of("process_start_time_seconds")]
    return time.time() - began[0] if is_url(source) and len(began) == 1 and began[0] < time.time() - 1 else None


def over(server: str, span_s: float) -> Page:
    """What a Prometheus server knows of the last `span_s` seconds: how far counters grew, and what else stood last.

    Raises:
        InputError: it does not answer, or not as Prometheus does, or knows no metric that tells of adapters.
    """
    try:
        known = {str(name) for name in _ask(server, "label/__name__/values", {})}
        samples = [
            sample(name, _labels(each["metric"]), float(each["value"][1]))
            for name in sorted(known)
            if _tells(name)
            for each in _ask(server, "query", {"query": _over(name, span_s)})["result"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise _no_prometheus(server) from None
    return page(samples, server)


def _labels(metric: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in metric.items() if key != "__name__"}


def _no_prometheus(server: str) -> InputError:
    return InputError(f"{server}: does not answer as Prometheus does; a URL such as http://prometheus:9090 is needed")


def _tells(name: str) -> bool:
    gateways = (stem + suffix for each in GATEWAYS for stem in (*each[1:4], each.errors) for suffix in _SUFFIXES)
    common = sample(name, {}, 0.0)
    of_vllm = (f"vllm:{stem}{suffix}" for stem in _OF_VLLM for suffix in _SUFFIXES)
    return name in {*gateways} or (common is not None and common.name in {*of_vllm})


def _over(name: str, span_s: float) -> str:
    selector = f"{{__name__={json.dumps(name)}}}"
    function = "increase" if counts(name) else "last_over_time"
    return f"{function}({selector}[{max(round(span_s), 1)}s])"


def _ask(server: str, what: str, parameters: Mapping[str, Any]) -> Any:
    """The data that Prometheus' API answers with."""
    url = f"{server.rstrip('/')}/api/v1/{what}" + (f"?{urllib.parse.urlencode(parameters)}" if parameters else "")
    try:
        answer = json.loads(input_file.decoded(_get(url), server, _WHAT, MAX_BYTES))
        if answer["status"] != "success":
            raise InputError(f"{server}: Prometheus refuses {what}: {answer.get('error', 'no reason given')}")
        return answer["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _no_prometheus(server) from None


def _get(url: str) -> bytes:
    try:
        request = urllib.request.Request(url, headers={"Accept": "text/plain"})  # http and https alone
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be reached: {getattr(error, 'reason', error)}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{url}: more than {MAX_BYTES:,} bytes; {_WHAT}")
    return data
