"""What real servers wrote as they started, or did not."""

from __future__ import annotations

import pytest

from calibrate.live.server.start_log import StartLog

V085 = """\
INFO 05-07 02:13:10 [api_server.py:1043] vLLM API server version 0.8.5
INFO 05-07 02:13:40 [core.py:58] Initializing a V1 LLM engine (v0.8.5) with config: model='m'
INFO 05-07 02:14:18 [kv_cache_utils.py:634] GPU KV cache size: 245,056 tokens
INFO 05-07 02:14:18 [kv_cache_utils.py:637] Maximum concurrency for 131,072 tokens per request: 1.87x
"""
V024 = """\
(APIServer pid=10) INFO 11-21 06:48:31 [utils.py:299]   █▄█▀ █     █     █     █  version 0.24.0
(EngineCore pid=12) INFO 12-11 00:06:53 [kv_cache_utils.py:2146] GPU KV cache size: 686,320 tokens
(EngineCore pid=12) INFO 12-11 00:06:54 [kv_cache_utils.py:2147] Maximum concurrency for 100,000 tokens per request: 7x
"""
V032 = """\
(APIServer pid=6243) INFO 11-21 06:48:31 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0
(EngineCore pid=6272) INFO 11-21 06:48:38 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='m'
(EngineCore pid=6272) INFO 11-21 06:48:47 [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum \
concurrency for 8,192 tokens per request: 32.00x
"""


@pytest.mark.parametrize(
    ("text", "version", "tokens"),
    [(V085, "0.8.5", 245_056), (V024, "0.24.0", 686_320), (V032, "0.32.0", 262_144), ("", None, None)],
)
def test_version_and_capacity(text: str, version: str | None, tokens: int | None) -> None:
    assert StartLog(text).version == version
    assert StartLog(text).kv_capacity_tokens == tokens
    assert StartLog(text).out_of_memory is None


CONSEQUENCE = "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.\n"
CUDA = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total capacity of 63.43 GiB"
)
V1_KV = (
    "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (4.25 GiB). Based on the available memory, …"
)
V0_KV = (
    "ValueError: The model's max seq len (60000) is larger than the maximum number of tokens that can be stored in KV "
    "cache (58384). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
)
NO_BLOCKS = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` …"


@pytest.mark.parametrize("line", [CUDA, V1_KV, V0_KV, NO_BLOCKS])
@pytest.mark.parametrize(
    "prefix", ["", "ERROR 05-07 02:14:18 [core.py:396] ", "(EngineCore pid=12) ERROR 06-16 20:55:14 [core.py:1224] "]
)
def test_a_lack_of_memory_is_told_in_vllms_words(line: str, prefix: str) -> None:
    log = StartLog(f"{V085}{prefix}Traceback (most recent call last):\n{prefix}{line}\n{CONSEQUENCE}")
    assert log.out_of_memory == line
    assert log.telling_line == line


def test_a_gpu_that_others_use_tells_nothing_of_the_settings() -> None:
    line = (
        "ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization "
        "(0.9, 3.6 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )
    log = StartLog(f"[rank0]: {line}\n{CONSEQUENCE}")
    assert log.out_of_memory is None
    assert log.telling_line == line


def test_a_warning_of_memory_is_no_lack_of_it() -> None:
    log = StartLog("WARNING 05-07 02:14:18 [x.py:1] this may run out of memory\nvllm serve: error: no such flag: --x\n")
    assert log.out_of_memory is None
    assert log.telling_line == "vllm serve: error: no such flag: --x"
