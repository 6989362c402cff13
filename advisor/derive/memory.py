"""GPU memory of a server: weights, what vLLM takes beside them, KV cache and adapter slots."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.derive.gpus.gpu import WEIGHT_BYTES, Gpu, Precision
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.shards import parameters, shards
from twin.profile import Memory

GIB = 2.0**30
BLOCK_SIZE = 16
ACTIVATIONS_GIB = {"llama": 1.89, "mistral": 1.89, "qwen2": 2.25, "qwen3": 2.21, "qwen3_moe": 2.21, "gemma3_text": 3.94}
"""What the largest step takes, GiB, as llm-d-planner 0.3.3 (Apache-2.0) measured it under vLLM 0.19."""
ACTIVATIONS_ELSE_GIB = 2.2
"""Of other kinds: the middle of those that were measured."""
BESIDE_TORCH_GIB, BESIDE_TORCH_SHARED_GIB = 0.27, 2.1
"""CUDA's context and NCCL's buffers, of one GPU and of one among several; from the same measurements."""
GRAPHS_GIB = 0.5
"""CUDA graphs; vLLM's log names 0.3 to 0.9 GiB for models of 3 to 70 billion parameters."""
LOGITS_COPIES = 3.81
"""Of the largest batch's logits in 32 bits, held by the sampler of vLLM 0.8.5: what two measured models differ by."""
OLD_BESIDE_GIB = 0.84
"""Beside weights and those copies, under vLLM 0.8.5, GiB: what is left of both."""
EMBEDDED = {"llama", "mistral", "mixtral"}
"""Kinds whose embeddings vLLM has adapters for, so that slots hold them, too."""
EXTRA_VOCABULARY = 256
"""Tokens that an adapter could add to the vocabulary, up to vLLM 0.11: each slot held their embeddings."""
OFF = {"measured": 0.03, "like": 0.05}
"""How far off the KV cache's size may be, relative, where activations of this kind were measured, and where not."""


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Memory of one of the GPUs that a server spans."""

    shape: ModelShape
    gpu: Gpu
    precision: Precision = "bf16"
    kv_bytes: float = 2.0
    tensor_parallel: int = 1
    old: bool = False
    """vLLM 0.8.5, not a current one."""

    @property
    def weight_bytes(self) -> float:
        """Of this GPU's part; embeddings stay in 16 bits whatever the others are packed into."""
        body = parameters(self.shape, self.tensor_parallel) * WEIGHT_BYTES[self.precision]
        return body + 2 * self.shape.embedding_parameters / self.tensor_parallel

    def slot_rank_bytes(self) -> float:
        """A slot's bytes per unit of `max_lora_rank`: both factors of every matrix, in 16 bits.

        Of a matrix that is split by its outputs, every GPU holds the whole first factor and its part of the second; of
        one that is split by its inputs, its part of the first and the whole second.
        """
        sides = sum(each.inputs + each.outputs for each in shards(self.shape, self.tensor_parallel))
        total = self.shape.layers * sides
        if self.shape.kind in EMBEDDED:
            total += 2 * (self.shape.vocabulary + self.shape.hidden)
        return 2 * total

    def slot_bytes(self) -> float:
        """A slot's bytes whatever its rank: under vLLM 0.8.5, embeddings of added tokens, in, out and copied."""
        if not self.old or self.shape.kind not in EMBEDDED:
            return 0.0
        return 3 * 2 * EXTRA_VOCABULARY * self.shape.hidden

    def memory(self, gpu_memory_utilization: float, *, max_num_seqs: int) -> Memory:
        """KV tokens as a Profile has them."""
        shape, gpus = self.shape, self.tensor_parallel
        kv = shape.kv_bytes_per_token(self.kv_bytes, gpus)
        whole = self.gpu.memory_gib * GIB
        left = gpu_memory_utilization * whole - self.weight_bytes - GIB * self._beside_gib(max_num_seqs)
        return Memory(
            kv_tokens_base=max(left / kv, 1.0),
            kv_tokens_per_slot_rank=self.slot_rank_bytes() / kv,
            kv_tokens_per_slot=self.slot_bytes() / kv,
            block_size=BLOCK_SIZE,
            gpu_memory_utilization=gpu_memory_utilization,
            kv_tokens_per_utilization=whole / kv,
            max_model_len=shape.max_model_len,
        )

    @property
    def off(self) -> float:
        """How far off the size of the KV cache may be, relative."""
        return OFF["measured" if self.shape.kind in ACTIVATIONS_GIB and self.tensor_parallel == 1 else "like"]

    def _beside_gib(self, max_num_seqs: int) -> float:
        """GiB beside weights, KV cache and slots."""
        if self.old:
            return OLD_BESIDE_GIB + LOGITS_COPIES * 4 * max_num_seqs * self.shape.vocabulary / GIB
        shared = self.tensor_parallel > 1
        activations = ACTIVATIONS_GIB.get(self.shape.kind, ACTIVATIONS_ELSE_GIB)
        return activations + GRAPHS_GIB + (BESIDE_TORCH_SHARED_GIB if shared else BESIDE_TORCH_GIB)
