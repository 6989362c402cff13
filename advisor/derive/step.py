"""Duration of an engine step of any model on any GPU, out of its operators and what a current vLLM adds on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.derive.gpu import Precision
from advisor.derive.model_shape import ModelShape
from advisor.derive.operators import Operators
from twin.profile import LORA_TERMS, Step

GRAPH_TOKENS = 512
"""Batched tokens of the largest CUDA graph that vLLM captures by default."""
HOST_MS = 1.8
"""What a step takes beyond its products and attention: the host, and what is between kernels. Fitted to 22 stages of
three models on H100s under vLLM 0.15 (`python -m calibrate host`), of which the median is then 2 % off. Per layer
nothing is left to fit: launches are in the operators' own times."""
DECODING = (1, 8, 32, 64, 128, 192, 256, 384, 512)
"""Requests at which the linear form of `twin.profile.Step` is fitted below the largest graph."""
PROMPTS = (1024, 2048, 4096, 8192)
"""Batched tokens beyond it."""


@dataclass(frozen=True, slots=True)
class StepModel:
    """Steps of one server."""

    shape: ModelShape
    operators: Operators
    precision: Precision = "bf16"
    kv_bytes: float = 2.0
    tensor_parallel: int = 1
    host_ms: float = HOST_MS

    def decode_ms(self, requests: float, context: float) -> float:
        """A step that decodes so many requests, each after `context` tokens."""
        shape, gpus = self.shape, self.tensor_parallel
        kv = shape.kv_bytes_per_token(self.kv_bytes, gpus) / shape.layers
        attention = self.operators.attention_us(requests, context, kv)
        return self._tokens_ms(requests) + shape.layers * attention * 1e-3

    def prefill_ms(self, tokens: float, context: float) -> float:
        """A step that computes so many prompt tokens, which look back on `context` tokens on average."""
        heads = self.shape.heads / self.tensor_parallel
        attention = self.operators.prefill_attention_us(tokens, context, heads, self.shape.head_dim)
        return self._tokens_ms(tokens) + self.shape.layers * attention * 1e-3

    def step(self, context: float) -> Step:
        """The linear form, without LoRA, that comes nearest for requests of `context` tokens on average."""
        decoding = np.array([self.decode_ms(requests, context) for requests in DECODING])
        rows = np.column_stack([np.ones(len(DECODING)), DECODING])
        # By relative error: a light step counts as much as a full one.
        base, slope = np.linalg.lstsq(rows / decoding[:, None], np.ones(len(DECODING)), rcond=None)[0]
        prompts = np.array([self.prefill_ms(tokens, context / 2) for tokens in PROMPTS])
        beyond = np.array(PROMPTS) - GRAPH_TOKENS
        eager = max(float(np.median((prompts - base - slope * GRAPH_TOKENS) / beyond)), 0.0)
        return Step(
            graph_tokens=GRAPH_TOKENS,
            base_ms=max(float(base), 0.0),
            per_request_ms=max(float(slope), 0.0),
            per_eager_token_ms=eager,
            **dict.fromkeys(LORA_TERMS, 0.0),
        )

    def _tokens_ms(self, tokens: float) -> float:
        """Everything but attention."""
        shape, gpus = self.shape, self.tensor_parallel
        hidden, q = shape.hidden, shape.heads * shape.head_dim / gpus
        kv = max(shape.kv_heads / gpus, 1) * shape.head_dim
        layer = self._gemm(tokens, hidden, q + 2 * kv) + self._gemm(tokens, q, hidden)
        layer += 2 * self.operators.all_reduce_us(tokens, hidden, gpus)
        sparse = shape.layers - shape.dense_layers if shape.experts else 0
        total = shape.layers * layer
        if sparse:
            expert = shape.intermediate / gpus
            of_experts = self.operators.experts_us(
                tokens,
                hidden,
                expert,
                experts=shape.experts,
                per_token=shape.experts_per_token,
                precision=self.precision,
            )
            total += sparse * (of_experts + self._mlp(tokens, shape.shared_intermediate / gpus))
            total += shape.dense_layers * self._mlp(tokens, shape.dense_intermediate / gpus)
        else:
            total += shape.layers * self._mlp(tokens, shape.intermediate / gpus)
        total += self.operators.gemm_us(tokens, hidden, shape.vocabulary / gpus, "bf16")
        return total * 1e-3 + self.host_ms

    def _gemm(self, tokens: float, inputs: float, outputs: float) -> float:
        return self.operators.gemm_us(tokens, inputs, outputs, self.precision)

    def _mlp(self, tokens: float, intermediate: float) -> float:
        if not intermediate:
            return 0.0
        hidden = self.shape.hidden
        return self._gemm(tokens, hidden, 2 * intermediate) + self._gemm(tokens, intermediate, hidden)
