"""The JSON Schema of what `advisor recommend` answers in JSON (TOML and YAML have the same keys)."""

from __future__ import annotations

from typing import Any, get_args

from advisor.recommend.answer.outlook import Resource

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 1
"""Raised when a key goes, or means something else; keys may be added without that."""

_NUMBER, _TEXT, _FLAG = {"type": "number"}, {"type": "string"}, {"type": ["integer", "number", "string"]}
_RANGE = {"type": "array", "items": _NUMBER, "description": "lowest and highest likely, of a derived pair"}
_TEXTS = {"type": "array", "items": _TEXT}


def _table(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def answer_schema() -> dict[str, Any]:
    """The schema; an answer that is not feasible has a reason, and no flags and no expectation."""
    admission = _table(
        "adapters of request_rate token_rate admitted rejected",
        adapters={"type": "integer"},
        of={"type": "integer"},
        request_rate=_NUMBER | {"description": "requests/s of the admitted adapters"},
        token_rate=_NUMBER | {"description": "tokens/s, input and output"},
        admitted=_TEXTS,
        rejected=_TEXTS,
        adapters_if_right={"type": "integer", "description": "of a derived pair: admitted if the estimate is right"},
        idle={"type": "integer", "description": "of the admitted ones, those that are never asked (rate 0)"},
        principle=_TEXT | {"description": "by what the rejected ones were chosen"},
        base=_table("request_rate token_rate", request_rate=_NUMBER, token_rate=_NUMBER),
    )
    expected = {
        "type": "object",
        "description": "empty where nothing is feasible; times in ms, percentiles as ttft_p99_ms",
        "properties": {
            "throughput_tok_s": _NUMBER,
            "itl_ms": _NUMBER | {"description": "left out where answers have one token, and so are its percentiles"},
            "ttft_ms": _NUMBER,
            "steady": {"type": "boolean"},
            "starved": {"type": "boolean"},
            "kv_capacity_tokens": {"type": "integer"},
            **{f"{name}_range": _RANGE for name in ("itl_ms", "ttft_ms", "kv_capacity_tokens")},
            "simulated_hours": {"type": "integer", "description": "whose means these are; else the models predict"},
            "refused_share": _NUMBER | {"description": "of the requests, those longer than max_model_len"},
        },
    }
    run = _table(
        "order adapters max_loras seed missed",
        **{name: {"type": "integer"} for name in ("order", "adapters", "max_loras", "seed")},
        **dict.fromkeys(("throughput_tok_s", "ttft_ms", "itl_ms"), _NUMBER),
        missed=_TEXTS,
    )
    exact = _table(
        "seeds duration_s order orders runs",
        interrupted={"type": "boolean"},
        seeds={"type": "array", "items": {"type": "integer"}, "description": "of the hours that the answer held in"},
        duration_s=_NUMBER,
        order={"type": "integer", "description": "which of the orders the answer follows"},
        orders={"type": "array", "items": _TEXTS, "description": "of admission: a run has the first adapters of one"},
        runs={"type": "array", "items": run},
    )
    resource = {"enum": [*get_args(Resource)]}
    share = _NUMBER | {"maximum": 1, "description": "in use on average; at 1 it is full, and requests wait"}
    shares = dict.fromkeys(("kv_cache", "adapter_slots", "max_num_seqs", "max_num_batched_tokens"), share)
    binding = _table(
        "what adapters at_least load in_flight at_limit",
        what=resource | {"description": "what runs out first as adapters are added; certainty is that of the models"},
        adapters={
            "type": "integer",
            "description": "the most of this mix that one GPU serves, of those that are asked; idle ones come beside",
        },
        at_least={"type": "boolean", "description": "whether nobody looked for more"},
        load=_NUMBER | {"description": "tokens/s of the admitted adapters over those of the most"},
        beyond={"type": "integer", "description": "adapters that are too many"},
        missed=_TEXTS | {"description": "what so many would miss of the objective"},
        unsure_up_to={"type": "integer"},
        in_flight={"type": "object", "properties": {"requests": _NUMBER, "adapters": _NUMBER, **shares}},
        at_limit={"type": "object", "properties": shares},
    )
    lever = _table(
        "change",
        change=_TEXT,
        adapters={"type": "integer"},
        more_adapters={"type": "integer"},
        itl_ms=_NUMBER,
        max_loras={"type": "integer"},
        note=_TEXT,
    )
    host = _table(
        "adapters gib",
        adapters={"type": "integer"},
        gib=_NUMBER | {"description": "of all worker processes together"},
        workers={"type": "integer", "description": "processes that each keep a copy: one for each GPU of the server"},
        limit_gib=_NUMBER,
    )
    return {
        "$schema": DIALECT,
        "$id": f"advisor-answer-{VERSION}",
        "title": "what advisor recommend answers",
        **_table(
            "pair model gpu vllm feasible flags args admission expected trace warnings",
            pair=_TEXT,
            model=_TEXT,
            gpu=_TEXT,
            vllm=_TEXT,
            measured=_TEXT,
            built=_TEXT,
            feasible={"type": "boolean"},
            reason=_TEXT,
            objective={"type": "object", "properties": {"name": _TEXT}, "additionalProperties": _NUMBER},
            flags={"type": "object", "additionalProperties": _FLAG, "description": "by vLLM's names"},
            args=_TEXTS | {"description": "of vllm serve"},
            environment={"type": "object", "additionalProperties": _TEXT},
            admission=admission,
            counted=_table(
                "requests rates_range",
                requests={"type": "integer", "description": "that the rates were counted from"},
                rates_range=_RANGE | {"description": "times those rates, what may really come, nine times of ten"},
            ),
            expected=expected,
            without_lora=_table("load_ratio", itl_ms=_NUMBER, load_ratio=_NUMBER),
            host_memory=host,
            uncertainty=_table(
                "decisive measured_by admitted_by expected_of",
                decisive=_TEXT,
                measured_by=_TEXT,
                admitted_by=_TEXT | {"description": "admission, binding, levers, further and trace: the careful end"},
                expected_of=_TEXT
                | {"description": "expected and without_lora: the middle, or the careful end as well"},
            )
            | {"description": "of a derived pair: what of it is least known, what would tell, what figures are of"},
            further={"type": "array", "items": _table("flag why", flag=_TEXT, why=_TEXT)},
            binding=binding,
            levers={"type": "array", "items": lever},
            trace={
                "type": "array",
                "items": _table("output rule result", output=_TEXT, rule=_TEXTS, result=_NUMBER),
            },
            warnings=_TEXTS,
            changes={
                "type": "object",
                "additionalProperties": _table("today recommended", today=_FLAG, recommended=_FLAG),
            },
            exact=exact,
            verified={"type": "object", "description": "what the digital twin measured"},
        ),
    }
