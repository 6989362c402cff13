"""The load generator beside a server whose answer times are known."""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from calibrate.errors import CalibrationError
from calibrate.live.client.capacity import verify
from calibrate.live.client.responses import Responses
from calibrate.live.client.send import send
from calibrate.live.client.traffic import Request, Traffic, full_batch, open_loop
from calibrate.live.server.address import server_url
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, serving
from twin import workload


@pytest.fixture(autouse=True)
def nothing_collected_while_timed() -> Iterator[None]:
    """Collect before what earlier tests left in this process: it takes 0.1 s and more, which would count as lag."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def asked(traffic: Traffic, fake: FakeVllm, duration_s: float = 10.0, drain_s: float = 0.0) -> Responses:
    """What comes back when the traffic goes to a fake server."""

    async def run() -> Responses:
        async with serving(fake) as url:
            return await send(traffic, url, model=BASE, duration_s=duration_s, drain_s=drain_s)

    return asyncio.run(run())


def every(gap_s: float, count: int, adapter: str | None = None, answer_tokens: int = 3) -> Traffic:
    return Traffic(tuple(Request(i * gap_s, adapter, 7, answer_tokens) for i in range(count)))


def test_times_are_those_of_the_server() -> None:
    found = asked(every(0.05, 5, answer_tokens=11), FakeVllm(ttft_s=0.2, itl_s=0.05)).summary()
    assert found["completed"] == found["arrivals"] == 5
    assert (found["input_tokens"], found["output_tokens"]) == (35, 55)
    assert found["ttft_p50_ms"] == pytest.approx(200, abs=60)  # other tests run meanwhile
    assert found["itl_mean_ms"] == pytest.approx(50, abs=15)
    assert found["itl_p50_ms"] == pytest.approx(50, abs=15)
    assert found["tpot_mean_ms"] == pytest.approx(50, abs=15)
    assert found["output_tok_s"] == pytest.approx(55 / found["duration_s"])


def test_asks_what_was_planned_and_no_prompt_begins_like_another() -> None:
    fake = FakeVllm(models=[BASE, "lora"])
    asked(Traffic((Request(0, None, 40, 2), Request(0, "lora", 40, 9))), fake)
    first, second = fake.seen
    assert (first["model"], second["model"]) == (BASE, "lora")
    assert (first["max_tokens"], second["max_tokens"]) == (2, 9)
    assert len(first["prompt"]) == len(second["prompt"]) == 40
    assert first["prompt"][:16] != second["prompt"][:16]
    assert first["ignore_eos"]
    assert first["temperature"] == 0


def test_merged_chunks_lengthen_itl_but_not_tpot() -> None:
    found = asked(every(0.1, 3, answer_tokens=9), FakeVllm(itl_s=0.04, per_chunk=2)).summary()
    assert found["output_tokens"] == 27
    assert found["itl_mean_ms"] == pytest.approx(40, abs=8)
    assert found["tpot_mean_ms"] == pytest.approx(20, abs=5)


@pytest.mark.parametrize("text", ["", " a", '"choices":[{', "\n\ndata: [DONE]\n\n"])
@pytest.mark.parametrize("torn", [False, True])
def test_every_chunk_is_a_token_whatever_it_holds(text: str, torn: bool) -> None:
    responses = asked(full_batch(2, 5, 4), FakeVllm(text=text, torn=torn))
    assert [len(one.gaps_s) for one in responses.completed] == [3, 3]


def test_a_server_that_never_answers_delays_no_arrival() -> None:
    fake = FakeVllm(models=[BASE, "mute"], silent={"mute"})
    responses = asked(every(0.01, 60, "mute"), fake, duration_s=3)  # long enough for a machine that stalls for a second
    found = responses.summary()
    assert len(fake.seen) == found["arrivals"] == found["aborted"] == 60
    assert max(one.lag_s for one in responses.responses) < 0.2
    assert found["completed"] == 0
    assert math.isnan(found["ttft_mean_ms"])
    assert found["duration_s"] == pytest.approx(3, abs=0.2)


def test_what_is_under_way_at_the_deadline_is_aborted_or_awaited() -> None:
    aborting, waiting = FakeVllm(ttft_s=0.2), FakeVllm(ttft_s=0.2)
    cut = asked(every(0.05, 20), aborting, duration_s=0.3)
    full = asked(every(0.05, 20), waiting, duration_s=0.3, drain_s=5)
    assert len(cut.responses) == len(full.responses) == 6
    assert 0 < len(cut.completed) < 6
    assert aborting.aborted == cut.aborted == 6 - len(cut.completed)
    assert len(full.completed) == 6


def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    responses = asked(full_batch(12, 5, 4, in_flight=3), FakeVllm(itl_s=0.01))
    ends = np.array([one.last_s for one in responses.responses])
    assert len(responses.completed) == 12
    for one in responses.responses:
        assert sum((other.sent_s <= one.sent_s) for other in responses.responses) - (ends < one.sent_s).sum() <= 3
    assert math.isnan(responses.lag_p99_ms)


def test_one_output_token_has_no_itl() -> None:
    found = asked(full_batch(4, 5, 1), FakeVllm()).summary()
    assert found["completed"] == 4
    assert found["itl_mean_ms"] == found["tpot_mean_ms"] == 0


def test_a_server_that_refuses_the_first_request_ends_it_with_its_message() -> None:
    with pytest.raises(CalibrationError, match=r"HTTP 404: The model `unknown` does not exist\.$"):
        asked(every(0.01, 5, "unknown"), FakeVllm())
    with pytest.raises(CalibrationError, match="HTTP 500: out of luck"):
        asked(every(0.01, 5), FakeVllm(fails={BASE: (500, "out of luck")}))


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(CalibrationError, match=r"Cannot connect to host 127\.0\.0\.1"):
            asyncio.run(send(every(0.01, 3), url, model=BASE, duration_s=1))


def test_a_few_failures_are_counted() -> None:
    fake = FakeVllm(models=[BASE, "torn"], breaks={"torn"}, fails={"full": (503, "too many")})
    names = [None, "torn", "full", None, "full"]
    responses = asked(Traffic(tuple(Request(0.05 * i, name, 5, 3) for i, name in enumerate(names))), fake)
    assert len(responses.completed) == 2
    assert responses.errors == {"EngineCore died": 1, "HTTP 503: too many": 2}
    assert responses.summary()["failed"] == 3


def test_streams_that_all_break_are_an_error() -> None:
    with pytest.raises(CalibrationError, match="every request failed, 4 of 4 so: EngineCore died"):
        asked(every(0, 4), FakeVllm(breaks={BASE}))


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/", "http://127.1.2.3", "http://[::1]:8000", "https://localhost"]
)
def test_this_machine_is_asked(url: str) -> None:
    assert server_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *["http://example.com", "http://10.0.0.1:8000", "http://localhost@example.com", "http://127.0.0.1.example.com"],
        *["http://0.0.0.0:8000", "ftp://localhost", "localhost:8000", "http://", "http://localhost:port", ""],
    ],
)
def test_other_machines_are_not(url: str) -> None:
    with pytest.raises(CalibrationError):
        asyncio.run(send(every(0.01, 1), url, model=BASE, duration_s=1))


def test_a_remote_server_may_be_allowed() -> None:
    assert server_url("http://example.com:8000/", allow_remote=True) == "http://example.com:8000"


@pytest.mark.parametrize(("duration_s", "drain_s"), [(0, 0), (-1, 0), (1, -1), (math.nan, 0), (math.inf, 0), (1, 1e6)])
def test_time_is_bounded(duration_s: float, drain_s: float) -> None:
    with pytest.raises(CalibrationError, match="at most a day"):
        asked(every(0.01, 1), FakeVllm(), duration_s, drain_s)


def test_requests_are_bounded() -> None:
    with pytest.raises(CalibrationError, match="11 requests; at most 10 wanted"):
        asyncio.run(send(every(0, 11), "http://localhost", model=BASE, duration_s=1, max_requests=10))


def test_too_few_files_are_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    with pytest.raises(CalibrationError, match=r"50 requests at once .* may open 100 files"):
        asyncio.run(send(full_batch(50, 1, 1), "http://localhost", model=BASE, duration_s=1))


def test_the_traffic_of_the_twin() -> None:
    drawn = workload.Requests(np.array([0.5, 2.0]), np.array([1, 0]), np.array([7, 9]), np.array([3, 4]))
    traffic = open_loop(drawn, ["a", None])
    assert list(traffic) == [Request(0.5, None, 7, 3), Request(2.0, "a", 9, 4)]
    with pytest.raises(CalibrationError, match="adapter 1 has no name"):
        open_loop(drawn, ["a"])


def test_traffic_that_cannot_be() -> None:
    for wrong in (
        lambda: Request(-1, None, 1, 1),
        lambda: Request(math.nan, None, 1, 1),
        lambda: Request(0, None, 0, 1),
        lambda: Traffic(()),
        lambda: full_batch(1, 1, 1, in_flight=0),
        lambda: Traffic((Request(1, None, 1, 1), Request(0, None, 1, 1))),
    ):
        with pytest.raises(CalibrationError):
            wrong()


def test_full_batches_ask_for_all_adapters_the_same_again() -> None:
    batch = full_batch(200, 10, 5, adapters=["a", "b", "c"])
    assert {request.adapter for request in batch} == {"a", "b", "c"}
    assert batch == full_batch(200, 10, 5, adapters=["a", "b", "c"])
    assert batch.at_once == 200


def test_the_client_reads_a_thousand_tokens_a_second_on_any_machine() -> None:
    found = asyncio.run(verify(1000, answer_tokens=10, seconds=1))
    assert found.completed
    assert found.tokens_s == pytest.approx(1000, rel=0.2)
    assert found.sends_s == pytest.approx(100, rel=0.2)
