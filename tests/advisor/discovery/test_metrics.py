"""What pages of metrics tell, and that nothing is made up of what they do not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.discovery.discovery import Discovery
from advisor.discovery.pages import metrics
from advisor.discovery.pages.metrics import discover
from advisor.discovery.pages.page import Sample, parse
from advisor.errors import InputError

BASE = "meta-llama/Llama-3.1-8B-Instruct"


def told(text: str, span_s: float | None = None, *, spread: bool = False) -> Discovery:
    return discover(parse(text, "page"), span_s=span_s, base_names={BASE}, spread=spread)


def gateway(word: str) -> str:
    def line(metric: str, name: str, value: float, more: str = "") -> str:
        return f'{word}_{metric}{{model_name="any",target_model_name="{name}"{more}}} {value}\n'

    tokens = "".join(
        line(f"{kind}_tokens_bucket", "legal-0", share, f',le="{bound}"')
        for kind, buckets in (
            ("input", ((128, 60), (512, 170), ("+Inf", 180))),
            ("output", ((256, 130), ("+Inf", 180))),
        )
        for bound, share in buckets
    )
    return (
        line("request_total", "legal-0", 180)
        + line("request_total", "legal-1", 90)
        + line("request_total", BASE, 640)
        + tokens
        + line("input_tokens_sum", "legal-0", 40140)
        + line("input_tokens_count", "legal-0", 180)
        + line("output_tokens_sum", "legal-0", 35280)
        + line("output_tokens_count", "legal-0", 180)
    )


def server(prefix: str = "vllm:", name: str = "chat", waiting: str = "legal-0,support-3") -> str:
    seen = f'max_lora="4",running_lora_adapters="legal-0,support-3",waiting_lora_adapters="{waiting}"'
    return f"""\
{prefix}prompt_tokens_total{{engine="0",model_name="{name}"}} 123000.0
{prefix}prompt_tokens_total{{engine="1",model_name="{name}"}} 100000.0
{prefix}prompt_tokens_created{{engine="0",model_name="{name}"}} 1.7e9
{prefix}prompt_tokens_by_source_total{{engine="0",source="cache",model_name="{name}"}} 99999.0
{prefix}generation_tokens_total{{model_name="{name}"}} 196000.0
{prefix}request_success_total{{finished_reason="stop",model_name="{name}"}} 930.0
{prefix}request_success_total{{finished_reason="length",model_name="{name}"}} 70.0
{prefix}lora_requests_info{{{seen}}} 1.7e9
{prefix}lora_requests_info{{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""}} 1.6e9
{prefix}cache_config_info{{block_size="16",gpu_memory_utilization="0.9",num_gpu_blocks="18278"}} 1.0
"""


@pytest.mark.parametrize("word", ["inference_model", "inference_objective"])
def test_a_gateway_tells_traffic_by_adapter_and_of_the_base(word: str) -> None:
    found = told(gateway(word), span_s=3600)
    legal, other = found.adapters
    assert (legal.name, legal.traffic.requests, legal.traffic.rate) == ("legal-0", 180, 0.05)
    assert legal.traffic.input and legal.traffic.output
    assert (legal.traffic.input["mean"], legal.traffic.output["mean"]) == (223, 196)
    assert 100 < legal.traffic.input["std"] < 300
    assert (other.name, other.traffic.rate, other.traffic.input, other.rank) == ("legal-1", 0.025, None, None)
    assert found.base and found.base.requests == 640
    assert found.complete
    assert any("lengths of legal-1" in note for note in found.notes)


@pytest.mark.parametrize("prefix", ["vllm:", "ray_vllm_", "kserve_vllm:", "vllm_"])
def test_vllm_tells_totals_and_names_and_no_adapter_called_like_the_base(prefix: str) -> None:
    found = told(server(prefix, BASE), span_s=1000)
    assert [each.name for each in found.adapters] == ["legal-0", "support-3"]
    assert all(each.traffic.rate is None and each.rank is None for each in found.adapters)
    assert found.lengths and found.lengths.input and found.lengths.output
    assert (found.lengths.input["mean"], found.lengths.output["mean"]) == (223, 196)
    assert found.server == {"max_loras": 4, "gpu_memory_utilization": 0.9}
    assert found.base is None and not found.complete
    assert any("1,000 requests" in note and "base model's name" in note for note in found.notes)


def test_requests_that_were_broken_off_are_told() -> None:
    text = server() + 'vllm:request_success_total{finished_reason="abort",model_name="chat"} 12\n'
    assert any("12 requests among them were broken off" in note for note in told(text, 10).notes)
    assert not any("broken off" in note for note in told(server(), 10).notes)


def test_running_and_waiting_are_told_apart_where_they_differ() -> None:
    assert any(
        "running: legal-0, support-3; waiting: legal-7" in note for note in told(server(waiting="legal-7")).notes
    )
    assert any("both labels hold the same names" in note for note in told(server()).notes)


def test_the_total_is_shared_among_the_names_only_when_asked() -> None:
    assert [each.traffic.rate for each in told(server(), 1000, spread=True).adapters] == [0.5, 0.5]
    assert [each.traffic.rate for each in told(server(), 1000).adapters] == [None, None]


def test_a_gateways_traffic_stands_beside_the_servers_settings() -> None:
    found = told(gateway("inference_model") + server(), span_s=3600)
    assert [each.name for each in found.adapters] == ["legal-0", "legal-1"]
    assert found.server["max_loras"] == 4


def test_two_scrapes_tell_what_came_between_them_and_a_restart_counts_from_zero() -> None:
    def page(first: int, second: int) -> str:
        return (
            f'dynamo_frontend_requests_total{{model="a",status="success"}} {first}\n'
            f'dynamo_frontend_requests_total{{model="a",status="error"}} 7\n'
            f'dynamo_frontend_requests_total{{model="b",status="success"}} {second}\n'
        )

    between = parse(page(500, 40), "later").since(parse(page(200, 90), "earlier"))
    found = discover(between, span_s=100, base_names=())
    assert [(each.name, each.traffic.rate) for each in found.adapters] == [("a", 3.0), ("b", 0.4)]


def test_litellm_is_asked_for_the_same_names_everywhere() -> None:
    text = """\
litellm_requests_metric_total{model="sql",requested_model="sql-alias"} 40.0
litellm_input_tokens_metric_total{model="sql",requested_model="sql-alias"} 4000.0
litellm_output_tokens_metric_total{model="sql",requested_model="sql-alias"} 8000.0
"""
    (adapter,) = told(text, 10).adapters
    assert (adapter.name, adapter.traffic.rate) == ("sql", 4.0)
    assert adapter.traffic.input and adapter.traffic.input["mean"] == 100


def test_servers_that_tell_ranks_are_believed() -> None:
    found = told(
        'vllm:lora_adapter_loaded{adapter_name="a",level="gpu",rank="16"} 1.0\n'
        'vllm:lora_adapter_loaded{adapter_name="a",level="cpu",rank="16"} 1.0\n'
        'vllm:lora_adapter_loaded{adapter_name="b",level="cpu",rank="8"} 1.0\n'
        'vllm:max_gpu_lora_adapters{engine="0"} 4.0\n'
    )
    assert {each.name: each.rank for each in found.adapters} == {"a": 16, "b": 8}
    assert found.server == {"max_loras": 4}


@pytest.mark.parametrize(
    "text", ["", "hello world\n", "go_gc_seconds 1.0\n", "<html>no</html>", 'a{b="c" 1\n', "a NaN\n"]
)
def test_pages_that_tell_nothing_are_an_error_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as error:
        told(text)
    assert "\n" not in str(error.value)


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from((gateway("inference_model") + server()).splitlines())).map("\n".join)
)
@example('inference_model_request_total{target_model_name="a"} 1e400')
@example('vllm:lora_requests_info{max_lora="99999999999999999999999999",running_lora_adapters=",, ,"} 1')
def test_any_text_is_a_page_or_an_error_in_one_line(text: str) -> None:
    try:
        told(text, 60, spread=True)
    except InputError as error:
        assert "\n" not in str(error)


def rates(found: Discovery) -> dict[str, float | None]:
    return {each.name: each.traffic.rate for each in found.adapters}


def test_llm_ds_router_tells_both_its_names_and_the_old_ones_and_counts_once() -> None:
    labels = 'model_name="m",target_model_name="sql",fairness_id="f",priority="0"'
    text = f"""\
llm_d_epp_request_total{{{labels}}} 100
llm_d_epp_request_error_total{{{labels},error_code="500"}} 3
llm_d_epp_request_input_tokens_sum{{{labels}}} 22300
llm_d_epp_request_input_tokens_count{{{labels}}} 100
llm_d_epp_request_output_tokens_sum{{{labels}}} 19600
llm_d_epp_request_output_tokens_count{{{labels}}} 100
inference_objective_request_total{{{labels}}} 100
"""
    found = told(text, 50)
    assert rates(found) == {"sql": 2.0}
    traffic = found.adapters[0].traffic
    assert traffic.input and traffic.output and (traffic.input["mean"], traffic.output["mean"]) == (223, 196)
    assert any("3 requests among them failed" in note for note in found.notes)
    folded = told(text + 'llm_d_epp_request_total{target_model_name="other"} 7\n', 50)
    assert any("'other' may be no adapter" in note for note in folded.notes)


A = 'inference_model_request_total{target_model_name="a"}'


@pytest.mark.parametrize(
    "text",
    [
        f"# TYPE inference_model_request_total counter\r\n{A} 30\r\n",
        f"# TYPE inference_model_request counter\n{A.replace('_total', '')} 30\n",
        f"# TYPE inference_model_request counter\n{A} 30 1769.5\n# EOF\n",
        f'{A} 30 # {{trace_id="x"}} 1 1769.5\n# EOF\n',
        f"{A.replace('}', ',}')} 3e1 1769860800000",
        'inference_model_request_total { target_model_name = "a" , model_name = "b} # {" } 30.0',
        f"{A} 30\n{A.replace('name', 'model')} NaN",
        f"{A} 30\nother_total +Inf\nother_seconds -1\n# EOF\n",
        f"{A} 30\n" + f"{A} 1e308\n" * 3,
    ],
)
def test_one_counter_in_any_spelling_is_one_counter(text: str) -> None:
    assert rates(told(text, 10)) == {"a": 3.0}


def test_labels_may_hold_what_pages_escape() -> None:
    found = told('inference_model_request_total{target_model_name="a\\"b\\\\c\\nd"} 30\n', 10)
    assert rates(found) == {'a"b\\c\nd': 3.0}


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"page:2: .*'inference_model_req'"):
        told('inference_model_request_total{target_model_name="a"} 30\ninference_model_req')


def dynamo(a: int, b: int, more: str = "") -> str:
    line = 'dynamo_frontend_requests_total{{model="{}",status="success"}} {}\n'
    return line.format("a", a) + line.format("b", b) + more


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ("process_start_time_seconds 1000", "process_start_time_seconds 2000", {"a": 5.0, "b": 1.0}),
        ("process_start_time_seconds 1000", "process_start_time_seconds 1000", {"a": 3.0, "b": 0.6}),
        (
            'dynamo_frontend_requests_created{model="a",status="success"} 1000',
            'dynamo_frontend_requests_created{model="a",status="success"} 2000',
            {"a": 5.0, "b": 0.6},
        ),
    ],
)
def test_a_page_says_itself_that_its_counters_began_anew(earlier: str, later: str, expected: dict[str, float]) -> None:
    now, then = parse(dynamo(500, 100, later), "later"), parse(dynamo(200, 40, earlier), "earlier")
    assert rates(discover(now.since(then), span_s=100, base_names=())) == expected
    assert bool(now.began_anew(then)) is (expected != {"a": 3.0, "b": 0.6})


def test_a_histogram_begins_anew_as_a_whole() -> None:
    def page(requests: int, total: int, short: int) -> str:
        def line(what: str, value: int, more: str = "") -> str:
            return f'inference_model_{what}{{target_model_name="a"{more}}} {value}\n'

        tokens = line("input_tokens_sum", total) + line("input_tokens_count", requests)
        buckets = line("input_tokens_bucket", short, ',le="128"') + line("input_tokens_bucket", requests, ',le="+Inf"')
        return line("request_total", requests) + tokens + buckets

    # Fewer requests than before, but longer ones: the sum of tokens alone would look as though it had grown.
    between = parse(page(100, 90_000, 5), "later").since(parse(page(200, 20_000, 190), "earlier"))
    (adapter,) = discover(between, span_s=100, base_names=()).adapters
    assert adapter.traffic.input and adapter.traffic.input["mean"] == 900


def test_the_name_that_vllm_serves_its_base_model_by_is_the_base_models() -> None:
    text = 'inference_model_request_total{target_model_name="chat"} 60\n' + dynamo(1, 1)
    text += 'inference_model_request_total{target_model_name="sql"} 40\n' + server(name="chat")
    found = told(text, 10)
    assert rates(found)["sql"] == 4.0 and "chat" not in rates(found)
    assert found.base and found.base.rate == 6.0


def test_litellms_word_for_the_kind_of_server_is_no_part_of_a_name() -> None:
    text = f'litellm_requests_metric_total{{model="hosted_vllm/{BASE}"}} 30\n'
    text += 'litellm_requests_metric_total{model="hosted_vllm/sql"} 20\n'
    found = told(text + 'litellm_input_tokens_metric_total{model="hosted_vllm/sql"} 2000\n', 10)
    assert rates(found) == {"sql": 2.0}
    assert found.base and found.base.rate == 3.0
    assert found.adapters[0].traffic.input and found.adapters[0].traffic.input["mean"] == 100


def test_each_line_of_a_page_is_looked_at_once_however_many_adapters_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(gateway("inference_model").replace("legal-0", f"legal-{i}") for i in range(2, 1000))
    looked, named = list[Sample](), metrics._named
    monkeypatch.setattr(metrics, "_named", lambda each, labels: (looked.append(each), named(each, labels))[1])
    assert len(told(text, 3600).adapters) == 1000 - 1
    assert len(looked) <= len(text.splitlines())


@pytest.mark.parametrize(
    "text", ["a" + " " * 200_000 + "x y z", "a 1" + " " * 200_000 + "x y z", 'a{b="' + "\\" * 200_001]
)
def test_a_line_that_is_none_is_told_by_its_beginning(text: str) -> None:
    with pytest.raises(InputError, match="page:1: ") as error:
        told(text)
    assert len(str(error.value)) < 300
