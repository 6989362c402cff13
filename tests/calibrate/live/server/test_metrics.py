"""What is read of `/metrics`, once and while traffic runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from calibrate.errors import CalibrationError
from calibrate.live.client.send import send
from calibrate.live.client.traffic import Request, Traffic
from calibrate.live.server import metrics
from calibrate.live.server.metrics import Scrape, scrape
from calibrate.live.server.sampler import Sampler
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, serving


def test_gauges_counters_histograms_and_capacity() -> None:
    now = Scrape.parse(FakeVllm(running=3, steps=7, prompt_tokens=50, generation_tokens=20).metrics_text())
    assert now.gauge(*metrics.RUNNING) == 3
    assert now.counter(*metrics.PROMPT_TOKENS) == 50
    assert now.histogram(*metrics.STEP_TOKENS) == (7, 70)
    assert now.kv_capacity_tokens == 16_000


@pytest.mark.parametrize("name", metrics.KV_USAGE)
def test_names_of_every_version(name: str) -> None:
    assert Scrape.parse(FakeVllm(usage_name=name).metrics_text()).gauge(*metrics.KV_USAGE) == 0.25


def test_what_was_counted_between_two_scrapes() -> None:
    fake = FakeVllm(running=5, steps=10, prompt_tokens=40, generation_tokens=30)
    earlier = Scrape.parse(fake.metrics_text(), at_s=100.0)
    later = Scrape.parse(replace(fake, running=2, steps=14, generation_tokens=42).metrics_text(), at_s=103.0)
    between = later.since(earlier)
    assert between.histogram(*metrics.STEP_TOKENS) == (4, 12)
    assert between.counter(*metrics.GENERATION_TOKENS) == 12
    assert between.gauge(*metrics.RUNNING) == 2
    assert between.at_s == 3
    with pytest.raises(CalibrationError, match="restarted"):
        earlier.since(later)


def test_a_series_that_came_later_has_counted_from_zero() -> None:
    later = Scrape.parse(FakeVllm(preemptions=4).metrics_text())
    earlier = Scrape.parse("")
    assert later.since(earlier).counter(*metrics.PREEMPTIONS) == 4


def test_only_some_metrics_are_read() -> None:
    some = Scrape.parse(FakeVllm(preemptions=4).metrics_text(), only=metrics.PREEMPTIONS)
    assert list(some.samples) == ["vllm:num_preemptions_total"]
    assert some.growing == {"vllm:num_preemptions_total"}


def test_errors_name_the_metric() -> None:
    text = Scrape.parse(FakeVllm(usage_name="vllm:kv_usage").metrics_text())
    with pytest.raises(CalibrationError, match=r"no vllm:kv_cache_usage_perc or .*; the nearest is vllm:kv_usage"):
        text.gauge(*metrics.KV_USAGE)
    with pytest.raises(CalibrationError, match="is it a vLLM server"):
        Scrape.parse("").counter(*metrics.PREEMPTIONS)
    with pytest.raises(CalibrationError, match="not Prometheus' text format"):
        Scrape.parse("<html>Not Found</html>")
    with pytest.raises(CalibrationError, match="num_gpu_blocks"):
        _ = Scrape.parse(FakeVllm().metrics_text().replace('"1000"', '"None"')).kv_capacity_tokens


def test_scraping_a_server() -> None:
    async def run() -> float:
        fake = FakeVllm(preemptions=2)
        async with serving(fake) as url:
            found = await scrape(url)
            fake.metrics_status = 404
            with pytest.raises(CalibrationError, match="HTTP 404"):
                await scrape(url)
            return found.counter(*metrics.PREEMPTIONS)

    assert asyncio.run(run()) == 2
    with pytest.raises(CalibrationError, match=r"metrics: Cannot connect"):
        asyncio.run(scrape("http://127.0.0.1:9"))
    with pytest.raises(CalibrationError, match="not this machine"):
        asyncio.run(scrape("http://example.com"))


def test_the_sampler_watches_traffic() -> None:
    async def run() -> dict[str, float]:
        fake = FakeVllm(itl_s=0.05, preemptions=100)
        traffic = Traffic(tuple(Request(0, None, 4, 12) for _ in range(6)))
        async with serving(fake) as url, Sampler(url, every_s=0.05) as sampler:
            sending = asyncio.create_task(send(traffic, url, model=BASE, duration_s=5))
            await asyncio.sleep(0.35)
            fake.waiting, fake.preemptions = 8, 103
            await sending
        return sampler.summary()

    found = asyncio.run(run())
    assert found["num_running_max"] == 6
    assert found["num_running_mean"] == pytest.approx(6, abs=1.5)
    assert found["num_waiting_end"] == found["num_waiting_max"] == 8
    assert found["num_waiting_mean"] < found["num_waiting_2nd_half_mean"] <= 8
    assert found["gpu_cache_usage_perc_mean"] == found["gpu_cache_usage_perc_max"] == 0.25
    assert found["num_preempted_max"] == 3


def test_the_sampler_gets_over_a_failed_scrape_and_says_when_there_is_none() -> None:
    async def run() -> None:
        fake = FakeVllm()
        async with serving(fake) as url:
            async with Sampler(url, every_s=0.03) as sampler:
                fake.metrics_status = 500
                await asyncio.sleep(0.1)
            assert sampler.missed >= 1
            with pytest.raises(CalibrationError, match="no sample"):
                sampler.summary()
            with pytest.raises(CalibrationError, match="HTTP 500"):
                async with Sampler(url):
                    pass

    asyncio.run(run())
