"""The digital twin: an hour of LoRA serving on vLLM, simulated from a Profile in milliseconds.

    workload --draw--> requests (`arrivals`, `lengths`), or those of a log
                          |
                          +--> refused: longer than the server takes
                          v
        +---------> waiting queue: first come, first served; skipped while all slots are taken by others
        |                 |                                                                 (`waiting`)
        |                 v
    preempted,        scheduler: running requests first, then the waiting ones; KV blocks, token budget,
    no blocks left        |      adapters into slots (`scheduler`, `kv_blocks`, `batch`, `loading`, `adapter_cache`)
        |                 v
        +---------- one step of so many ms: every running request gets a token (`latency`, `serving`)
                          |
                          v
                     measures: throughput, ITL, TTFT, ... (`simulation`)

The words above are modules of `twin`; what serves, from `waiting` down, is in `twin.engine`. Where vLLM versions
differ, the Profile says which it follows (`behaviour`). `reference` has the same server written for reading, every
request looked at in every step; the compiled one answers to the last bit as it does. The tests hold it to that, and
both to the decisions, step by step, that real vLLM schedulers took (`stepwise`, `decisions`).
"""
