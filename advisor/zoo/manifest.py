"""The manifest of models: which files belong to them, how they were made and how good they are.

Plain data, written by `model_zoo` and read by the advisor.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from advisor.features.vector import UNITS


def _feature(name: str) -> str:
    if name not in UNITS:
        raise ValueError(f"{name!r} is no feature of this version; make the pair again")
    return name


Feature = Annotated[str, AfterValidator(_feature)]


EnsembleOutput = Literal[
    "throughput_share",
    "itl_ms",
    "itl_p50_ms",
    "itl_p95_ms",
    "itl_p99_ms",
    "ttft_ms",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "ttft_p99_ms",
]
"""What ensembles predict."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Graph(_Section):
    """An ONNX graph with several outputs; those of `rules` are named `<objective>_<output>` after its trees, those of
    `serving` as its ensembles, and by the objective of its chances.
    """

    file: str
    features: list[Feature] = Field(description="names of the inputs, in order")


class Tree(_Section):
    """A decision tree, an output of the graph `rules`; its nodes travel in that file: answer and trace are one."""

    objective: Literal["steady", "published"]
    output: Literal["load_limit", "max_loras"] = Field(
        description="load_limit: most tokens/s one GPU serves of this mix; max_loras: adapter slots"
    )
    times: Feature | Literal[""] = Field(
        default="", description="the feature a leaf is to be multiplied by; empty: it is the answer"
    )
    error: dict[str, float] = Field(description="measure on held-out workloads -> value, e.g. 'smape_percent'")

    @property
    def name(self) -> str:
        """Its output of the graph."""
        return f"{self.objective}_{self.output}"


class Ensemble(_Section):
    """A regression ensemble, an output of the graph `serving`."""

    output: EnsembleOutput = Field(
        description="natural logarithm of a time over the feature `times`, or of throughput_share (throughput / "
        "offered token rate) x max(slots_load_share, 1)"
    )
    times: Feature | Literal[""] = Field(default="", description="the feature a time is a multiple of; empty: 1 ms")
    margin: float = Field(
        default=1.0,
        ge=1,
        description="times the answer is what 19 of 20 steady hours keep below; of itl_ms and the percentiles",
    )
    error: dict[str, float] = Field(description="measure on held-out workloads -> value")


class Chance(_Section):
    """How likely a configuration keeps an objective, an output of the graph `serving`: the log-odds of it."""

    objective: Literal["steady", "published"]
    required: float = Field(gt=0, lt=1, description="how likely it has to be before it is recommended")
    error: dict[str, float] = Field(description="measure on held-out workloads -> value, e.g. 'macro_f1'")


class Manifest(_Section):
    """Everything that is shipped of models which were trained together."""

    pair: str = Field(default="", description="the pair that they were trained for; empty: they answer for any Profile")
    model: str = Field(default="", description="Hugging Face id of its LLM")
    gpu: str = Field(default="", description="short name of its GPU type")
    vllm: str = Field(default="", description="the vLLM version of its Profile")
    command: str = Field(description="the command that made the files")
    date: str = Field(default="", description="the day that the command names, YYYY-MM-DD")
    versions: dict[str, str] = Field(description="library -> version at training")
    seed: int
    workloads: int = Field(description="mixes trained on, held-out ones excluded")
    simulations: int = Field(description="hours served by the twin, shorter ones of very many requests included")
    max_adapters: int = Field(description="largest N simulated; an admission limit is never above it")
    slots: list[float] = Field(description="slot counts simulated, as times those of the estimate")
    range: dict[Feature, tuple[float, float]] = Field(description="range of each feature in training")
    rules: Graph = Field(description="how much to serve, and with how many slots")
    trees: list[Tree]
    serving: Graph = Field(description="what a configuration is expected to do")
    ensembles: list[Ensemble]
    chances: list[Chance]
    sha256: dict[str, str] = Field(description="file name -> hash, for every shipped file but this one")
