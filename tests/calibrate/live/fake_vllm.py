"""A server that talks like vLLM and takes as long as it is told: completions, adapters, metrics."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BASE = "base"


@dataclass
class FakeVllm:
    """What it does, and what it has seen."""

    ttft_s: float = 0.0
    itl_s: float = 0.0
    prompt_token_s: float = 0.0
    """Added to `ttft_s` for every token of the prompt."""
    per_chunk: int = 1
    """Tokens in a chunk, as when the front end merges."""
    text: str = ""
    """Of every token; dummy weights often answer nothing that can be read."""
    torn: bool = False
    """Chunks arrive in pieces, and their JSON has spaces."""
    fails: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Model -> HTTP status and message."""
    breaks: set[str] = field(default_factory=set)
    """Models whose streams say an error after their first token."""
    silent: set[str] = field(default_factory=set)
    """Models that never answer."""
    models: list[str] = field(default_factory=lambda: [BASE])
    usage_name: str = "vllm:kv_cache_usage_perc"
    blocks: int = 1000
    metrics_status: int = 200

    running: int = 0
    waiting: int = 0
    preemptions: int = 0
    steps: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    gaps: int = 0
    """Between tokens of an answer."""
    seen: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the completions asked for."""
    aborted: int = 0

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        model = body["model"]
        if model in self.fails:
            return complaint(*self.fails[model])
        if model not in self.models:
            return complaint(404, f"The model `{model}` does not exist.")
        self.running += 1
        try:
            return await self.stream(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if body["model"] in self.silent:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.ttft_s + self.prompt_token_s * len(body["prompt"]))
        self.prompt_tokens += len(body["prompt"])
        left = body["max_tokens"]
        while left:
            tokens = min(left, self.per_chunk)
            left -= tokens
            self.steps += 1
            self.generation_tokens += tokens
            chunk = event(body["model"], self.text * tokens, None if left else "length")
            for piece in in_pieces(chunk) if self.torn else [chunk]:
                await response.write(piece)
            if body["model"] in self.breaks:
                await response.write(b'data: {"error":{"message":"EngineCore died","type":"x","code":500}}\n\n')
                break
            if left:
                self.gaps += 1
                await asyncio.sleep(self.itl_s)
        else:
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
            last = {"object": "text_completion", "model": body["model"], "choices": [], "usage": usage}
            await response.write(f"data: {compact(last)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def load(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if name in self.models:
            return complaint(400, f"The lora adapter '{name}' has already been loaded.")
        self.models.append(name)
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if name not in self.models[1:]:
            return complaint(404, f"The lora adapter '{name}' cannot be found.")
        self.models.remove(name)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def list_models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics_text(), status=self.metrics_status)

    def metrics_text(self) -> str:
        """As prometheus_client writes it for vLLM."""
        labels = f'engine="0",model_name="{BASE}"'
        return f"""\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 9757.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} {self.running}.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} {self.waiting}.0
# HELP vllm:num_requests_waiting_by_reason Number of requests waiting, by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} {self.waiting}.0
# HELP {self.usage_name} KV-cache usage. 1 means 100 percent usage.
# TYPE {self.usage_name} gauge
{self.usage_name}{{{labels}}} 0.25
# HELP vllm:num_preemptions_total Cumulative number of preemption from the engine.
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{{labels}}} {self.preemptions}.0
# HELP vllm:num_preemptions_created Cumulative number of preemption from the engine.
# TYPE vllm:num_preemptions_created gauge
vllm:num_preemptions_created{{{labels}}} 1.7908e+09
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{labels}}} {self.prompt_tokens}.0
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{labels}}} {self.generation_tokens}.0
# HELP vllm:iteration_tokens_total Histogram of number of tokens per engine_step.
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{{{labels},le="1.0"}} {self.steps}.0
vllm:iteration_tokens_total_bucket{{{labels},le="+Inf"}} {self.steps}.0
vllm:iteration_tokens_total_count{{{labels}}} {self.steps}.0
vllm:iteration_tokens_total_sum{{{labels}}} {self.prompt_tokens + self.generation_tokens}.0
# HELP vllm:inter_token_latency_seconds Histogram of inter-token latency in seconds.
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{{{labels},le="+Inf"}} {self.gaps}.0
vllm:inter_token_latency_seconds_count{{{labels}}} {self.gaps}.0
vllm:inter_token_latency_seconds_sum{{{labels}}} {self.gaps * self.itl_s}
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="{self.blocks}"}} 1.0
"""


def complaint(status: int, message: str) -> web.Response:
    """An error as vLLM words it."""
    return web.json_response({"error": {"message": message, "type": "x", "param": None, "code": status}}, status=status)


def compact(value: object) -> str:
    """JSON as pydantic writes it."""
    return json.dumps(value, separators=(",", ":"))


def event(model: str, text: str, finish_reason: str | None) -> bytes:
    """One chunk of a streamed completion."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
    known = {"id": "cmpl-1", "object": "text_completion", "created": 1790800000, "model": model}
    return f"data: {compact({**known, 'choices': [choice], 'usage': None})}\n\n".encode()


def in_pieces(chunk: bytes) -> list[bytes]:
    """Three of them, with a space after each colon and comma."""
    spaced = chunk.replace(b'":', b'": ').replace(b",", b", ")
    return [spaced[:3], spaced[3:-1], spaced[-1:]]


@asynccontextmanager
async def serving(fake: FakeVllm, port: int = 0) -> AsyncIterator[str]:
    """Serve on a port of this machine, by default a free one; the URL."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/completions", fake.completions)
    app.router.add_post("/v1/load_lora_adapter", fake.load)
    app.router.add_post("/v1/unload_lora_adapter", fake.unload)
    app.router.add_get("/v1/models", fake.list_models)
    app.router.add_get("/health", fake.health)
    app.router.add_get("/version", fake.version)
    app.router.add_get("/metrics", fake.metrics)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextmanager
def running(fake: FakeVllm) -> Iterator[str]:
    """The fake in a loop of its own; its URL."""
    ready, stop, urls = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with serving(fake) as url:
            urls.append(url)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield urls[0]
    finally:
        stop.set()
        thread.join()
