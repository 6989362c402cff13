"""What people write for the keys of an inventory: for the hint where such a key is not known."""

from __future__ import annotations

from collections.abc import Iterable

SYNONYMS = {
    # [[adapters]]
    "name": "adapter adapter_id adapter_name id lora lora_name served_name",
    "rank": "adapter_rank lora_r lora_rank max_lora_rank max_rank r ranks",
    "rate": "arrival_rate frequency qps request_rate requests_per_s requests_per_sec requests_per_second rps traffic",
    "count": "copies instances n num number quantity",
    "input": "input_len input_length input_tokens isl prompt prompt_len prompt_length prompt_tokens prompts",
    "output": "answer completion completion_tokens osl output_len output_length output_tokens response",
    "gaps": "arrival arrivals arrival_process distribution",
    "cv": "coefficient_of_variation gap_cv variation",
    "shared_prefix": "common_prefix prefix prefix_len prefix_length prefix_tokens system_prompt system_prompt_tokens",
    "source": "adapter_path dir directory folder hf_id hub_id local_path lora_path path repo repo_id uri url",
    "together": "burst_group ensemble fan_out fanout group simultaneous",
    "target_modules": "layers lora_target_modules modules targets",
    "apart": "anti_affinity antiaffinity exclusive keep_apart separate spread",
    "replicas": "min_replicas num_replicas replica replica_count",
    # [[gpus]]
    "type": "accelerator card gpu gpu_name gpu_type name",
    "price": "cost cost_per_hour hourly_price price_per_hour",
    "at_most": "available count limit max max_count maximum quota",
    # [lengths]
    "file": "csv dataset jsonl path table",
    "correlation": "corr rho",
    "mean": "average avg mu",
    "std": "sd sigma spread standard_deviation std_dev stddev stdev",
    # [[phases]]
    "duration": "duration_s length seconds time",
    "scale": "factor multiplier rate rate_scale",
    # [gpu]
    "memory_gib": "gpu_memory memory memory_gb vram vram_gb",
    "bandwidth_gb_s": "bandwidth bandwidth_gbps hbm_bandwidth memory_bandwidth",
    "bf16_tflops": "bf16 compute fp16_tflops tensor_tflops tflops",
    "fp8_tflops": "fp8",
    "link_gb_s": "interconnect link link_bandwidth nvlink nvlink_gb_s",
    "like": "kind resembles similar similar_to",
    # the whole file
    "model_config": "config config_json hf_config model_config_path",
    "tensor_parallel": "gpu_count gpus_per_server num_gpus tensor_parallel_size tp tp_size",
    "quantization": "dtype precision quant quantisation weights",
    "kv_cache_dtype": "kv_cache kv_cache_precision kv_dtype",
    "vllm": "engine_version version vllm_version",
    "model": "base_model hf_model llm model_id model_name",
    "gpu": "accelerator card device gpu_id gpu_name gpu_type hardware pin pinned",
    "gpus": "accelerators fleet gpu_types nodes pool pools",
    "lengths": "length requests token_lengths tokens",
    "adapters": "adapter lora lora_adapters lora_modules loras",
    "host_memory_gib": "cpu_memory cpu_memory_gib host_memory host_memory_gb memory memory_gib ram ram_gib",
    "dynamic": "at_run_time dynamic_loading hot_swap runtime_loading runtime_lora_updating",
    "base": "base_requests base_traffic no_adapter unadapted without_adapter",
    "server": "current engine flags settings today",
    # [server] and [fixed]
    "max_loras": "adapter_slots gpu_loras lora_slots slots",
    "max_cpu_loras": "cpu_loras cpu_slots",
    "max_lora_rank": "lora_rank max_rank rank",
    "max_num_seqs": "batch_size max_batch_size max_running max_seqs",
    "max_num_batched_tokens": "batched_tokens max_batch_tokens max_batched_tokens max_prefill_tokens",
    "gpu_memory_utilization": "gpu_mem_util gpu_mem_utilization gpu_memory gpu_util mem_fraction_static",
    "max_model_len": "context context_len context_length max_context max_len max_length max_seq_len",
}
"""Key -> what else it is called, in words with underscores; which key is meant depends on those that a table has."""


def meant(key: str, known: Iterable[str]) -> str | None:
    """The known key that people call so, whatever the case, with dashes or underscores."""
    word = key.lower().replace("-", "_")
    return next((each for each in known if word in SYNONYMS.get(each, "").split()), None)
