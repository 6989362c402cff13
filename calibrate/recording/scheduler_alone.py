"""vLLM's scheduler without the rest of the engine: a stand-in for the model answers every step with the same token.

Works with every vLLM from 0.8.5 on, as far as its scheduler can be imported; what a version does not know is left out.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
from collections import deque
from types import SimpleNamespace
from typing import Any

from calibrate.recording.recordings import SHARED, Arrivals, Limits, prompt
from twin.workload import BASE


class SchedulerHost:
    """A scheduler whose steps are run by the stand-in."""

    def __init__(self, scheduler: Any, arrivals: Arrivals, limits: Limits, async_scheduling: bool) -> None:
        self._scheduler, self._arrivals = scheduler, arrivals
        self._block_hasher = _block_hasher(limits)
        self._depth = 2 if async_scheduling else 1
        self._in_flight = deque[tuple[Any, Any]]()

    def add(self, request: int) -> None:
        """Hand the scheduler a request."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest
        from vllm.v1.request import Request

        adapter, answer = self._arrivals.adapter[request], self._arrivals.answer[request]
        self._scheduler.add_request(
            _call(
                Request,
                request_id=str(request),
                prompt_token_ids=prompt(self._arrivals, request),
                sampling_params=SamplingParams(max_tokens=answer, ignore_eos=True),
                pooling_params=None,
                lora_request=None if adapter == BASE else LoRARequest(str(adapter), adapter + 1, str(adapter)),
                arrival_time=0.0,
                eos_token_id=None,
                multi_modal_inputs=None,
                multi_modal_hashes=None,
                multi_modal_placeholders=None,
                block_hasher=self._block_hasher,
            )
        )

    def busy(self) -> bool:
        """Whether any request is not finished."""
        return bool(self._scheduler.has_unfinished_requests())

    def step(self) -> None:
        """Schedule a step; then the outputs of this one are in, or with async scheduling those of the one before."""
        output = self._scheduler.schedule()
        self._in_flight.append((output, self._run(output)))
        if len(self._in_flight) == self._depth:
            self._scheduler.update_from_output(*self._in_flight.popleft())

    def _run(self, output: Any) -> Any:
        from vllm.v1.outputs import ModelRunnerOutput

        names = list(output.num_scheduled_tokens)
        requests = [self._scheduler.requests[name] for name in names]
        return _call(
            ModelRunnerOutput,
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=[[SHARED] if one.num_computed_tokens >= one.num_tokens else [] for one in requests],
            spec_token_ids=None,
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=None,
        )


def new_scheduler(limits: Limits, max_model_len: int, async_scheduling: bool) -> Any:
    """A scheduler with these limits."""
    import torch
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec

    cache = _Unset(
        block_size=limits.block_size,
        num_gpu_blocks=limits.blocks + 1,
        enable_prefix_caching=limits.enable_prefix_caching,
        prefix_caching_hash_algo="builtin",
        mamba_cache_mode="none",
    )
    config = _Unset(
        scheduler_config=_Unset(
            max_num_seqs=limits.max_num_seqs,
            max_num_batched_tokens=limits.max_num_batched_tokens,
            max_model_len=max_model_len,
            long_prefill_token_threshold=0,
            policy="fcfs",
            enable_chunked_prefill=True,
            scheduler_reserve_full_isl=True,
            watermark=0.0,
            async_scheduling=async_scheduling,
        ),
        cache_config=cache,
        lora_config=_Unset(max_loras=limits.max_loras),
        model_config=_Unset(max_model_len=max_model_len, is_multimodal_model=False, is_encoder_decoder=False),
        parallel_config=_Unset(
            pipeline_parallel_size=1,
            decode_context_parallel_size=1,
            prefill_context_parallel_size=1,
            data_parallel_index=0,
        ),
        observability_config=_Unset(),
        ec_manager_config=_Unset(get_encoder_cache_manager_obj=lambda: None),
        aux_output_config=_Unset(),
        num_speculative_tokens=0,
        num_lookahead_tokens=0,
        num_prefill_lookahead_tokens=0,
        max_in_flight_tokens=2 * limits.max_num_batched_tokens,
    )
    spec = _call(
        FullAttentionSpec,
        block_size=limits.block_size,
        num_kv_heads=1,
        head_size=16,
        dtype=torch.float32,
        use_mla=False,
    )
    return _call(
        _scheduler_class(async_scheduling),
        vllm_config=config,
        kv_cache_config=_call(
            KVCacheConfig,
            num_blocks=limits.blocks + 1,
            tensors={},
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
        ),
        structured_output_manager=_Unset(
            grammar_bitmask=lambda *_: None, should_advance=lambda *_: False, accept_tokens=lambda *_: True
        ),
        block_size=limits.block_size,
        log_stats=False,
    )


def _block_hasher(limits: Limits) -> Any:
    """What gives blocks their hashes, where the requests and not the scheduler do that."""
    from vllm.v1.core import kv_cache_utils

    if not limits.enable_prefix_caching or not hasattr(kv_cache_utils, "get_request_block_hasher"):
        return None
    kv_cache_utils.init_none_hash(_hash)
    return kv_cache_utils.get_request_block_hasher(limits.block_size, _hash)


def _hash(content: object) -> bytes:
    return hashlib.sha256(pickle.dumps(content)).digest()


def _scheduler_class(async_scheduling: bool) -> Any:
    if async_scheduling:
        from vllm.v1.core.sched.async_scheduler import AsyncScheduler

        return AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler

    return Scheduler


class _Unset(SimpleNamespace):
    """A configuration that answers None to all that it does not hold."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _call(what: Any, **arguments: Any) -> Any:
    """Call with those of the arguments that this version takes."""
    kind = what.__mro__[1] if "args" in inspect.signature(what).parameters else what  # AsyncScheduler passes all on
    known = inspect.signature(kind).parameters
    return what(**{name: value for name, value in arguments.items() if name in known})
