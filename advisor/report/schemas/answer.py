"""The JSON Schema of what `advisor recommend` answers in JSON (TOML and YAML have the same keys)."""

from __future__ import annotations

from typing import get_args

from advisor.recommend.answer.outlook import Resource
from advisor.report.schemas.parts import (
    ALWAYS_MEASURED,
    ARGS,
    COUNTED,
    FIGURES,
    FLAG,
    FLAGS,
    GPU_TYPE,
    HOST_MEMORY,
    INTEGER,
    MEASURED,
    NUMBER,
    PAIR,
    RANGE,
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
BESIDE = ("throughput_tok_s", "itl_ms", "ttft_ms", "missed")
"""What is told of servers that are simulated beside the answer."""


def answer_schema() -> Schema:
    """The schema; an answer that is not feasible has a reason, and no flags and no expectation."""
    admission = table(
        "adapters of request_rate token_rate admitted rejected",
        adapters=INTEGER,
        of=INTEGER,
        request_rate=NUMBER | {"description": "requests/s of the admitted adapters"},
        token_rate=NUMBER | {"description": "tokens/s, input and output"},
        admitted=TEXTS,
        rejected=TEXTS,
        adapters_if_right=INTEGER | {"description": "of a derived pair: admitted if the estimate is right"},
        idle=INTEGER | {"description": "of the admitted ones, those that are never asked (rate 0)"},
        principle=TEXT | {"description": "by what the rejected ones were chosen"},
        base=table("request_rate token_rate", request_rate=NUMBER, token_rate=NUMBER),
    )
    expected = {
        "type": "object",
        "description": "empty where nothing is feasible; times in ms, percentiles as ttft_p99_ms",
        "properties": {
            **FIGURES,
            **{f"{name}_range": RANGE for name in ("itl_ms", "ttft_ms", "kv_capacity_tokens")},
            "simulated_hours": INTEGER | {"description": "whose means these are; else the models predict"},
            "refused_share": NUMBER | {"description": "of the requests, those longer than max_model_len"},
        },
    }
    run = table(
        "order adapters max_loras seed missed",
        **dict.fromkeys(("order", "adapters", "max_loras", "seed"), INTEGER),
        **dict.fromkeys(("throughput_tok_s", "ttft_ms", "itl_ms"), NUMBER),
        missed=TEXTS,
    )
    exact = table(
        "seeds duration_s order orders runs",
        interrupted=TRUTH,
        seeds={"type": "array", "items": INTEGER, "description": "of the hours that the answer held in"},
        duration_s=NUMBER,
        order=INTEGER | {"description": "which of the orders the answer follows"},
        orders={"type": "array", "items": TEXTS, "description": "of admission: a run has the first adapters of one"},
        runs={"type": "array", "items": run},
    )
    resource = {"enum": [*get_args(Resource)]}
    share = NUMBER | {"maximum": 1, "description": "in use on average; at 1 it is full, and requests wait"}
    shares = dict.fromkeys(("kv_cache", "adapter_slots", "max_num_seqs", "max_num_batched_tokens"), share)
    binding = table(
        "what adapters at_least load in_flight at_limit",
        what=resource | {"description": "what runs out first as adapters are added; certainty is that of the models"},
        adapters=INTEGER
        | {"description": "the most of this mix that one GPU serves, of those that are asked; idle ones come beside"},
        at_least=TRUTH | {"description": "whether nobody looked for more"},
        load=NUMBER | {"description": "tokens/s of the admitted adapters over those of the most"},
        beyond=INTEGER | {"description": "adapters that are too many"},
        missed=TEXTS | {"description": "what so many would miss of the objective"},
        unsure_up_to=INTEGER,
        in_flight={"type": "object", "properties": {"requests": NUMBER, "adapters": NUMBER, **shares}},
        at_limit={"type": "object", "properties": shares},
    )
    lever = table(
        "change",
        change=TEXT,
        adapters=INTEGER,
        more_adapters=INTEGER,
        itl_ms=NUMBER,
        max_loras=INTEGER,
        note=TEXT,
    )
    neighbour = table(
        "change missed better",
        change=TEXT | {"description": "what is other than in the answer"},
        **{name: MEASURED[name] for name in BESIDE},
        better=TRUTH | {"description": "whether it is to be preferred"},
    )
    verified = table(
        ALWAYS_MEASURED,
        **MEASURED,
        careful_end=table("missed", **{name: MEASURED[name] for name in BESIDE})
        | {"description": "of a derived pair: the answer at the careful end, where the neighbours are served, too"},
        neighbours=rows(neighbour, "answers near this one"),
        best=TRUTH | {"description": "whether the answer holds, and none of them is better"},
    ) | {"description": "what the digital twin measured; left out of it is what nothing came of"}
    return schema(
        "answer",
        VERSION,
        "what advisor recommend answers",
        **table(
            "pair model gpu vllm feasible flags args admission expected trace warnings",
            pair=PAIR,
            model=TEXT,
            gpu=GPU_TYPE,
            vllm=TEXT,
            measured=TEXT,
            built=TEXT,
            feasible=TRUTH,
            reason=TEXT,
            objective={"type": "object", "properties": {"name": TEXT}, "additionalProperties": NUMBER},
            flags=FLAGS,
            args=ARGS,
            environment={"type": "object", "additionalProperties": TEXT},
            admission=admission,
            counted=COUNTED,
            expected=expected,
            without_lora=table("load_ratio", itl_ms=NUMBER, load_ratio=NUMBER),
            host_memory=HOST_MEMORY,
            uncertainty=table(
                "decisive measured_by admitted_by expected_of",
                decisive=TEXT,
                measured_by=TEXT,
                admitted_by=TEXT | {"description": "admission, binding, levers, further and trace: the careful end"},
                expected_of=TEXT | {"description": "expected and without_lora: the middle, or the careful end as well"},
            )
            | {"description": "of a derived pair: what of it is least known, what would tell, what figures are of"},
            further={"type": "array", "items": table("flag why", flag=TEXT, why=TEXT)},
            binding=binding,
            levers={"type": "array", "items": lever},
            trace={
                "type": "array",
                "items": table("output rule result", output=TEXT, rule=TEXTS, result=NUMBER),
            },
            warnings=WARNINGS,
            changes={
                "type": "object",
                "additionalProperties": table("today recommended", today=FLAG, recommended=FLAG),
            },
            exact=exact,
            verified=verified,
        ),
    )
