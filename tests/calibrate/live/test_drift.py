"""A Profile held to a server that takes as long as it is told."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from calibrate.errors import CalibrationError
from calibrate.live import drift
from calibrate.live.server.metrics import Scrape
from calibrate.live.server.running import attached
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, running
from twin.behaviour import behaviour_of
from twin.profile import Profile

ITL_S = 0.03  # long beside how late a timer is on a busy machine


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """This server's steps are all alike, so that few of them tell as much as many."""
    monkeypatch.setattr(drift, "ANSWER_TOKENS", 25)


def described(profile: Profile, step_ms: float, vllm: str = "0.32.0") -> Profile:
    """A Profile of a server whose every step takes so long, whatever the batch, with a KV cache of 16,000 tokens."""
    step, scheduling, memory = profile.step, profile.scheduling, profile.memory
    return profile.model_copy(
        update={
            "pair": profile.pair.model_copy(update={"vllm": vllm}),
            "step": step.model_copy(update=_zeros(step) | {"graph_tokens": 0, "base_ms": step_ms}),
            "scheduling": scheduling.model_copy(update=_zeros(scheduling)),
            "memory": memory.model_copy(
                update={"kv_tokens_base": 16_000.0, "kv_tokens_per_slot_rank": 0.0, "kv_tokens_per_slot": 0.0}
            ),
            "behaviour": behaviour_of(vllm),
        }
    )


def _zeros(section: BaseModel) -> dict[str, float]:
    return dict.fromkeys(type(section).model_fields, 0.0)


def found(profile: Profile, *batches: int) -> drift.Drift:
    fake = FakeVllm(itl_s=ITL_S, models=[BASE, "a", "b"])
    with running(fake) as url, attached(url) as server:
        assert server.adapters == ()  # this fake does not tell parents
        return drift.by_traffic(profile, server, ["a", "b"], max_loras=2, max_lora_rank=8, batches=batches)


def test_a_profile_that_still_holds(profile: Profile) -> None:
    seen = found(described(profile, 1e3 * ITL_S * 1.05), 2)  # a timer is late by some tenths of a ms
    assert seen.vllm == "0.32.0"
    assert seen.same_behaviour
    assert seen.checks[0].off == pytest.approx(0.0)
    assert seen.holds, seen


def test_a_batch_that_is_kept_full_takes_in_as_many_requests_as_it_answers(profile: Profile) -> None:
    known = described(profile, 5.0)
    scheduling = known.scheduling.model_copy(update={"per_arrival_ms": (1e3 * ITL_S * 1.05 - 5.0) * 25 / 2})
    assert found(known.model_copy(update={"scheduling": scheduling}), 2).holds


def test_the_version_is_compared_not_what_was_switched_off(profile: Profile) -> None:
    """Where vLLM runs on a CPU, a Profile says that scheduling is not asynchronous; its version's default is."""
    known = described(profile, 1e3 * ITL_S * 1.05)
    on_cpu = known.model_copy(update={"behaviour": known.behaviour.model_copy(update={"async_scheduling": False})})
    assert found(on_cpu).same_behaviour


def test_another_clock_and_another_version_show(profile: Profile) -> None:
    seen = found(described(profile, 5.0, vllm="0.8.5"), 2)
    assert not seen.same_behaviour
    assert seen.checks[1].off > 0.8
    assert not seen.holds
    shown = drift.table(profile, seen)
    assert shown.row_count == 3


def scraped(fake: FakeVllm) -> Scrape:
    return Scrape.parse(fake.metrics_text())


def test_the_metrics_of_a_server_are_enough(profile: Profile) -> None:
    fake = FakeVllm(itl_s=ITL_S, steps=1000, generation_tokens=30_000, gaps=29_000, prompt_tokens=4_000)
    seen = drift.by_metrics(described(profile, 1e3 * ITL_S), scraped(fake), max_loras=2, max_lora_rank=8)
    assert seen.holds, seen
    assert [check.what for check in seen.checks] == ["KV cache, tokens", "step of 30 requests, ms"]
    slow = drift.by_metrics(described(profile, 2e3 * ITL_S), scraped(fake), max_loras=2, max_lora_rank=8)
    assert not slow.holds
    assert slow.checks[1].off == pytest.approx(-0.5)


def test_two_scrapes_tell_of_the_time_in_between(profile: Profile) -> None:
    before = FakeVllm(itl_s=1.0, steps=50, generation_tokens=100, gaps=100)
    after = FakeVllm(itl_s=0.07, steps=1050, generation_tokens=2100, gaps=2000)  # 140 s, of which 100 s before
    between = scraped(after).since(scraped(before))
    seen = drift.by_metrics(described(profile, 40 / 1.9), between, max_loras=2, max_lora_rank=8)
    assert seen.holds, seen


def test_metrics_of_an_idle_server_tell_nothing(profile: Profile) -> None:
    with pytest.raises(CalibrationError, match="no answer was written"):
        drift.by_metrics(profile, scraped(FakeVllm()), max_loras=2, max_lora_rank=8)
