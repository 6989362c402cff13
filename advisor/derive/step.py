"""Duration of an engine step of any model on any GPU, out of its operators and what a current vLLM adds on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.derive.gpus.gpu import Precision
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.operators import Operators
from twin.profile import LORA_TERMS, Step

GRAPH_TOKENS = 512
"""Batched tokens of the largest CUDA graph that vLLM captures by default."""
HOST_MS = 1.8
"""What a step takes beyond its products and attention: the host, and what is between kernels. Fitted to 22 stages of
three models on H100s under vLLM 0.15 (`python -m calibrate host`), of which the median is then 2 % off. Per layer
nothing is left to fit: launches are in the operators' own times."""
HOST_LEAST_MS = 0.15
"""The same of another machine: an H200 under vLLM 0.24, Llama-3.1-8B without LoRA, 1 and 8 requests (4.80 and 4.87 ms a
step, of which the operators are 4.66 and 4.69); with 128 it is 1.2. Which of machine and version makes it so little one
server does not tell."""
DECODING = (1, 8, 32, 64, 128, 192, 256, 384, 512)
"""Requests at which the form of `twin.profile.Step` is fitted."""
PROMPTS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Tokens of prompts at which it is."""
KNEES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, GRAPH_TOKENS)
"""Batched tokens at which arithmetic may take over from reading the weights: few where weights are packed or a GPU is
slow at arithmetic. Beyond, a step grows by the token, whether or not it replays a CUDA graph."""


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

    def step(self, context: float, knees: Sequence[int] = KNEES) -> Step:
        """The form of `Step`, without LoRA, that comes nearest for requests of `context` tokens on average.

        Its `graph_tokens` is the one of `knees` that does. By relative errors: a light step counts as much as a full
        one.
        """
        requests, prompts = np.array(DECODING), np.array(PROMPTS)
        tokens = np.concatenate([requests, prompts])
        # First what goes with tokens, whatever they look back on; then what each request that decodes adds.
        ms = np.array([*map(self._tokens_ms, requests), *(self.prefill_ms(each, context / 2) for each in prompts)])
        found = []
        for knee in knees:
            rows = np.column_stack([np.ones(len(ms)), np.maximum(tokens - knee, 0)]) / ms[:, None]
            terms = np.linalg.lstsq(rows, np.ones(len(ms)), rcond=None)[0]
            found.append((float(np.abs(rows @ terms - 1).mean()), knee, terms))
        _, knee, (base, beyond) = min(found, key=lambda each: each[:2])
        decoding = np.array([self.decode_ms(each, context) for each in requests])
        left = (decoding - base - beyond * np.maximum(requests - knee, 0)) / decoding
        each = requests / decoding
        per_request = max(float(each @ left) / float(each @ each), 0.0)
        return Step(
            graph_tokens=knee,
            base_ms=float(base),
            per_request_ms=per_request,
            per_eager_token_ms=float(beyond),
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
