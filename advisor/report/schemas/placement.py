"""The JSON Schema of what `advisor place` answers in JSON (YAML has the same keys)."""

from __future__ import annotations

from typing import get_args

from advisor.place.problem import BaseGpus
from advisor.place.steps import SPARE, Moving, Serving
from advisor.report.schemas.parts import (
    ALWAYS_MEASURED,
    ARGS,
    COUNTED,
    FIGURES,
    FLAGS,
    GPU_TYPE,
    HOST_MEMORY,
    INTEGER,
    MEASURED,
    NUMBER,
    PAIR,
    TEXT,
    TEXTS,
    TRUTH,
    WARNINGS,
    Schema,
    rows,
    schema,
    table,
)

VERSION = 1
"""Raised when a key goes, or means something else; keys may be added without that."""

_GPU = INTEGER | {"minimum": 0, "description": "number of the GPU, from 0"}
_PLACE = {"anyOf": [_GPU, {"const": SPARE}], "description": "number of the GPU, or the one that is spare meanwhile"}
_GPUS = {"type": "array", "items": _GPU}
_SHARE = NUMBER | {"minimum": 0, "maximum": 1}
_ADAPTER = TEXT | {"description": "its name"}
_ONLY_IF_SO = {"const": True}
_SETTINGS = "max_loras max_cpu_loras max_lora_rank max_num_seqs max_num_batched_tokens gpu_memory_utilization"


def placement_schema() -> Schema:
    """The schema: of one inventory, or of several, each of which has the name of its file."""
    of_one, of_several = ({"$ref": f"#/$defs/{each}"} for each in ("placement", "placements"))
    several = table(
        "gpus price placements",
        gpus=INTEGER | {"description": "GPUs of all inventories together"},
        price=NUMBER | {"description": "of these GPUs together, as the inventories have prices"},
        placements=rows(of_one | {"required": ["inventory"]}, "in the order in which the inventories were named"),
    )
    return schema(
        "placement",
        VERSION,
        "what advisor place answers",
        oneOf=[of_one, of_several],
        **{"$defs": {"placement": _placement(), "placements": several}},
    )


def _placement() -> Schema:
    with_more = table(
        "gpu missed", gpu=_GPU, missed=TEXTS | {"description": "each with its numbers; none: it has room"}
    )
    unused = table("gpu_type reason", gpu_type=GPU_TYPE, reason=TEXT | {"description": "in words"})
    unplaced = table(
        "name reason",
        name=TEXT | {"description": "of the adapter; of requests that name none, the model's"},
        reason=TEXT | {"description": "in words"},
    )
    return table(
        "gpus price lower_bound optimal algorithm seed assignments unplaced warnings",
        inventory=TEXT | {"description": "path of its file, where several are placed"},
        gpus=INTEGER | {"description": "GPUs that are used, those that only stand by included"},
        price=NUMBER | {"description": "of these GPUs together, as the inventory has prices; each 1 where it has none"},
        lower_bound=INTEGER | {"description": "GPUs that serve what was placed at least, whatever the placement"},
        optimal=TRUTH | {"description": "whether it serves all, holds, and takes no more GPUs than that"},
        algorithm=TEXT | {"description": "name of the one that found it"},
        seed=INTEGER | {"description": "of what is left to chance"},
        interrupted=_ONLY_IF_SO | {"description": "it was stopped: this is the best that had been found by then"},
        counted=COUNTED,
        assignments=rows(_assignment(), "one for each GPU, by its number"),
        with_a_tenth_more=rows(with_more, "of the fullest GPUs, what they would miss with a tenth more traffic"),
        unused=rows(unused, "types of GPU that nothing is on"),
        base={"enum": [each.value for each in BaseGpus]}
        | {"description": "requests that name no adapter: spread over all GPUs, or on GPUs of their own"},
        unplaced=rows(unplaced, "who is on no GPU"),
        changes=_changes(),
        warnings=WARNINGS,
    )


def _assignment() -> Schema:
    flags = FLAGS | {"required": _SETTINGS.split()}
    # The twin has no time to tell where nothing was answered; whatever is counted, it has.
    counted = {*ALWAYS_MEASURED.split()}
    measured = {name: of if name in counted else of | {"type": [of["type"], "null"]} for name, of in MEASURED.items()}
    verified = table(
        " ".join((*MEASURED, "hours held")),
        **measured,
        hours=INTEGER | {"description": "hours that it simulated, of every state that a failure leaves the GPU in"},
        held=INTEGER | {"description": "of these, those in which nothing was missed"},
    ) | {"description": "what the digital twin measured in the worst hour; null: nothing"}
    return table(
        "gpu pair gpu_type adapters flags args request_rate token_rate load expected",
        gpu=_GPU,
        pair=PAIR,
        gpu_type=GPU_TYPE,
        adapters=TEXTS | {"description": "names of those that it serves; none where it only stands by"},
        weights={
            "type": "object",
            "additionalProperties": _SHARE,
            "description": "of adapters that are on other GPUs too: share of their requests that comes here, 0 to 1",
        },
        standby=TEXTS | {"description": "names of the adapters that it takes over when their GPU fails"},
        base=_SHARE | {"description": "of requests that name no adapter, the share that comes here, 0 to 1"},
        base_standby=_ONLY_IF_SO | {"description": "it takes over such requests when a GPU fails that they come to"},
        flags=flags,
        args=ARGS,
        request_rate=NUMBER | {"description": "requests/s that come here"},
        token_rate=NUMBER | {"description": "tokens/s that come here, input and output"},
        load=NUMBER | {"description": "tokens/s that come here over the most that the GPU serves of this mix; 1: full"},
        expected=table(" ".join(name for name in FIGURES if name != "itl_ms"), **FIGURES)
        | {"description": "what the models say, of the traffic as the inventory has it"},
        host_memory=HOST_MEMORY | {"description": "what adapters take of the memory of the server's host at most"},
        missed=TEXTS | {"minItems": 1, "description": "what of the objective it misses by the models, with numbers"},
        verified=verified,
    )


def _step(description: str, *kinds: Moving | Serving) -> Schema:
    return {"enum": [*kinds], "description": description}


def _changes() -> Schema:
    adapters, gpus = TEXTS, _GPUS
    names = {
        "moved": adapters | {"description": "names of adapters that were on other GPUs"},
        "added": adapters | {"description": "names of adapters that were on none"},
        "removed": adapters | {"description": "names of adapters that are on none any more, or not in the inventory"},
        "restarted": gpus | {"description": "GPUs whose servers need other flags"},
        "paused": adapters | {"description": "names of adapters that nobody serves for a while"},
        "detours": adapters | {"description": "names of adapters that wait on another GPU until there is room"},
        "overloaded_before": gpus | {"description": "GPUs that miss the objective before the first step"},
        "overloaded_meanwhile": gpus | {"description": "GPUs that miss it on the way, as there is no other"},
        "routed_together": adapters
        | {"description": "names of adapters whose new copies are sent requests only once all of them are loaded"},
    }
    move = table(
        "step adapter to",
        step=_step("an adapter, from where it is; left out where nobody serves it meanwhile", "move"),
        adapter=_ADAPTER,
        **{"from": _PLACE, "to": _PLACE},
    )
    add = table("step adapter to", step=_step("an adapter that is new", "add"), adapter=_ADAPTER, to=_PLACE)
    remove = table("step adapter gpu", step=_step("an adapter that leaves", "remove"), adapter=_ADAPTER, gpu=_PLACE)
    serving = table(
        "step gpu",
        step=_step(
            "start, restart or stop a server; route requests that name no adapter there, or no longer",
            *get_args(Serving),
        ),
        gpu=_PLACE,
    )
    return table(
        " ".join(("kept", *names, "spare_gpu", "steps")),
        kept=INTEGER | {"description": "adapters that stay on all of their GPUs"},
        **names,
        spare_gpu=TRUTH | {"description": "whether one more GPU is needed for a while"},
        steps=rows({"oneOf": [move, add, remove, serving]}, "one after the other"),
    ) | {"description": "from the placement before, where one was given"}
