"""What eight bits ask of a GPU, and what is not known where it has or was measured with other ones.

NVIDIA's GPUs multiply fp8 from compute capability 8.9 on (Ada, Hopper). Before, vLLM unpacks weights into 16 bits at
every product (Marlin, vllm-project/vllm #5975), and of its attention kernels not all read a cache in fp8.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.derive.gpus.gpu import Gpu, catalogue

STREAMED_SINCE = (0, 15)
"""From this version on vLLM packs weights as they are read (vllm-project/vllm #31914); before, all are in 16 bits on
the GPU first."""


def refusal(name: str, gpu: Gpu, *, own: bool) -> str | None:
    """Why weights in fp8 are not derived on a GPU; None where they are."""
    if gpu.fp8_tflops:
        return None
    way_out = f"; if {name} does multiply fp8, its fp8_tflops are missing" if own else ""
    return (
        f"{name} multiplies no fp8: vLLM unpacks such weights there, which is not derived; bf16 and int4 are{way_out}"
    )


def of_weights(name: str, gpu: Gpu) -> Iterator[str]:
    """What whoever has weights in fp8 should know."""
    if "fp8" not in catalogue().efficiencies[gpu.kind].gemm:
        yield (
            f"products in fp8 were never measured on a GPU of the kind of {name}: of its fp8_tflops they are taken to "
            "get what bf16 gets of its own"
        )
    if 0 < gpu.fp8_tflops < gpu.bf16_tflops:
        yield (
            f"fp8_tflops of {name} are {gpu.fp8_tflops:g}, its bf16_tflops {gpu.bf16_tflops:g}: no GPU has fewer in "
            "fp8; data sheets tell twice as many with sparsity"
        )


def of_cache(name: str, gpu: Gpu) -> Iterator[str]:
    """What whoever has a KV cache in fp8 should know."""
    if not gpu.fp8_tflops:
        yield (
            f"{name} has no arithmetic in fp8: of vLLM's attention kernels FlashInfer's read a KV cache in fp8 there, "
            "Triton's do not, and vLLM does not start with them (vllm-project/vllm #26431); --attention-backend "
            "FLASHINFER, in older versions VLLM_ATTENTION_BACKEND, takes the former"
        )
