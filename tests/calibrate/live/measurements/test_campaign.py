"""A calibration from nothing to tables and a profile, against a `vllm` that only pretends to compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from calibrate.dummy_model import write_model
from calibrate.errors import CalibrationError
from calibrate.fit.tables import read
from calibrate.live.client.responses import RECORD
from calibrate.live.measurements import calibration, experiments, plan, tabulate
from calibrate.live.measurements.campaign import START, Campaign, remaining_s
from calibrate.live.measurements.plan import Crowd, FullBatch, Hours, Idle, Loads, Scale
from calibrate.live.server.machine import Gpu, Machine
from calibrate.live.server.running import attached
from calibrate.live.server.settings import LaunchSettings
from calibrate.replay import replay
from calibrate.runs import read_runs
from tests.calibrate.live.fake_vllm import BASE as BASE_MODEL
from tests.calibrate.live.fake_vllm import FakeVllm, running
from twin.lengths import Moments

REPOSITORY = Path(__file__).parents[4]
SCALE = Scale(
    slots=(1, 2),
    ranks=(8, 16),
    batches=(1, 4),
    prompts=(8, 136),  # 51 ms apart: more than what a busy machine adds to one of two runs
    lengths=Moments(8, 4, 6, 2),
    served_adapters=3,
    hour_seconds=1.0,
    served_shares=(0.2, 0.4),
    validation_shares=(0.3,),
)
BASE = LaunchSettings(max_model_len=256, max_num_seqs=8, max_num_batched_tokens=64, load_format="dummy")
FAKE = """#!{python}
import asyncio, json, sys
sys.path.insert(0, "{repository}")
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, serving

def flag(name, default="0"):
    return next((a.split("=", 1)[1] for a in sys.argv if a.startswith("--" + name + "=")), default)

slots, rank = int(flag("max-loras")), int(flag("max-lora-rank"))
with open("{folder}/port", "w") as port:
    print(flag("port"), end="", file=port)
with open("{folder}/starts", "a") as starts:
    print(slots, rank, file=starts)
print("INFO vLLM API server version 0.32.0", flush=True)
if slots * rank > {most}:
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB.", flush=True)
    sys.exit(1)
print(f"INFO GPU KV cache size: {{8000 - 16 * slots * rank:,}} tokens", flush=True)
after = sys.argv[sys.argv.index("--lora-modules") + 1 :] if "--lora-modules" in sys.argv else []
named = [json.loads(a)["name"] if a.startswith("{{") else a.split("=", 1)[0] for a in after]

async def main():
    fake = FakeVllm(ttft_s=0.004, itl_s=0.002, prompt_token_s=0.0004, models=[BASE, *named])
    async with serving(fake, int(flag("port"))):
        await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.fixture(scope="module", autouse=True)
def looked_at_often() -> Iterator[None]:
    """Servers that only pretend start in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calibrate.live.server.start.POLL_SECONDS", 0.05)
        yield


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return make(tmp_path, most=1000)


def make(folder: Path, most: int) -> Campaign:
    command = folder / "vllm"
    command.write_text(FAKE.format(python=sys.executable, repository=REPOSITORY, folder=folder, most=most))
    command.chmod(0o755)
    model = write_model(folder / "model")
    return Campaign(model, SCALE, plan.plan(SCALE, BASE), folder / "work", str(command))


TARGET = calibration.Target("example/Tiny", "fake", 8.0, 0.9, block_size=16, graph_tokens=0)
MACHINE = Machine("2026-11-21T10:00:00+00:00", "a CPU", 2, 8.0, (Gpu("a GPU", 8192.0, "550.1", None, None),))


@pytest.fixture(scope="module")
def experimenting(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """The plan with its experiments, all of it measured."""
    campaign = make(tmp_path_factory.mktemp("campaign"), most=1000)
    campaign = replace(campaign, starts=experiments.with_experiments(campaign.starts, SCALE))
    campaign.run()
    return campaign


@pytest.fixture
def measured(experimenting: Campaign) -> Campaign:
    """The plan alone, all of it measured."""
    return replace(experimenting, starts=plan.plan(SCALE, BASE))


def test_from_nothing_to_a_profile(campaign: Campaign, measured: Campaign, tmp_path: Path) -> None:
    assert remaining_s(campaign, start_s=1.0, step_ms=1.0) > 4
    assert remaining_s(measured, start_s=1.0, step_ms=1.0) == 0

    tabulate.write(measured, tabulate.model_name(TARGET.hub_id), tmp_path / "tables")
    profile = calibration.profile_of(measured, TARGET, MACHINE, tmp_path / "tables", "made by a test")
    tables = read(tmp_path / "tables", "tiny")
    assert sorted(tables.capacity["max_loras"]) == [1, 1, 2, 2]
    assert set(tables.overhead["adapters"]) == {1, 2}
    assert (pd.read_csv(tmp_path / "tables" / "adapter_loading.csv")["ranks"] == [8, 16]).all()
    assert len(read_runs(tmp_path / "tables" / "served_runs.csv")) == 2
    assert [run.group for run in read_runs(tmp_path / "tables" / tabulate.ROUNDS)] == [
        f"{kind} round 0" for kind in ("served", "validation", "served")
    ]
    assert tables.crowd["arrivals_s"].min() > 0
    assert profile.pair.name == "tiny--fake"
    assert profile.behaviour.async_scheduling
    assert profile.memory.kv_tokens_per_slot_rank == pytest.approx(16, rel=0.01)
    assert 1.5 < profile.step.base_ms < 6
    assert profile.provenance and profile.provenance.machine == "a GPU"
    assert profile.provenance.starts == len(measured.starts)
    assert 0 < profile.provenance.minutes < 2
    (run,) = read_runs(tmp_path / "tables" / "validation_runs.csv")
    assert run.requests is not None
    said = [replay([run], {run.model: profile}, seed, jobs=1) for seed in (0, 1)]
    assert said[0][0].throughput_tok_s == said[1][0].throughput_tok_s  # the same requests, whatever the seed


def test_experiments_are_made_on_three_more_servers(
    campaign: Campaign, measured: Campaign, experimenting: Campaign, tmp_path: Path
) -> None:
    assert [start.key for start in experimenting.starts[len(measured.starts) :]] == [
        "slots-2-rank-16-specialized",
        "slots-2-rank-16-synchronous",
        "slots-2-rank-16-longer",
    ]
    nothing = replace(campaign, starts=experimenting.starts)
    assert {(each.one, each.other) for each in experiments.results(nothing)} == {("", "")}
    found = list(experiments.results(experimenting))
    assert all(isinstance(each.one, float) and isinstance(each.other, float) for each in found)
    assert {each.experiment for each in found} == {
        "adapters in the batch",
        "slots as such",
        "a prompt token",
        "--specialize-active-lora",
        "--no-async-scheduling",
        "max_model_len",
        "loading",
    }
    tabulate.write(experimenting, "tiny", tmp_path / "tables")
    tabulate.write(measured, "tiny", tmp_path / "plan")
    plain = {file.name: file.read_bytes() for file in (tmp_path / "plan").glob("*.csv")}
    assert {file.name: file.read_bytes() for file in (tmp_path / "tables").glob("*.csv")} == plain | {
        tabulate.PROMPTS: (tmp_path / "tables" / tabulate.PROMPTS).read_bytes()
    }


def test_a_prompt_token_costs_what_longer_prompts_add(campaign: Campaign, tmp_path: Path) -> None:
    asking = replace(campaign, starts=experiments.with_experiments(campaign.starts, SCALE))
    bare = tmp_path / "work" / campaign.starts[0].key
    bare.mkdir(parents=True)
    for one, (tokens, seconds) in zip(plan.prompts_alone(SCALE, 0), ((100, 1.0), (300, 1.5)), strict=True):
        (bare / f"{one.key}.json").write_text(f'{{"input_tokens": {tokens}, "duration_s": {seconds}}}')
    assert {each.one for each in experiments.results(asking) if each.experiment == "a prompt token"} == {2500.0}


def test_servers_of_others_that_differ_in_a_flag_are_measured_one_after_the_other(campaign: Campaign) -> None:
    asking = replace(campaign, starts=experiments.with_experiments(campaign.starts, SCALE))
    measured = []
    while asking.left(start := asking.start_with(2, 16)):
        measured.append(start.key)
        asking.note_out_of_memory(start)
    assert measured == [
        "slots-2-rank-16",
        "slots-2-rank-16-specialized",
        "slots-2-rank-16-synchronous",
        "slots-2-rank-16-longer",
    ]


def test_what_was_measured_is_not_measured_again(campaign: Campaign, tmp_path: Path) -> None:
    first = replace(campaign, starts=campaign.starts[:2])
    first.run()
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").glob("slots-*/*.json")}
    again = campaign.starts[1]
    (tmp_path / "work" / again.key / f"{Idle().key}.json").unlink()
    first.run()
    starts = (tmp_path / "starts").read_text().split("\n")
    assert starts == ["0 0", "1 16", "1 16", ""]
    changed = {file.name for file, when in kept.items() if file.stat().st_mtime_ns != when}
    assert changed == {f"{Idle().key}.json", f"{START}.json"}


def test_a_start_without_memory_is_a_finding(tmp_path: Path) -> None:
    campaign = make(tmp_path, most=16)
    short = replace(campaign, starts=campaign.starts[1:3])
    short.run()
    assert short.row(short.starts[1], START)["oom"] == 1
    assert short.left(short.starts[1]) == []


def test_a_server_of_somebody_else_gives_the_same_figures(campaign: Campaign, tmp_path: Path) -> None:
    start = replace(campaign.starts[1], measurements=campaign.starts[1].measurements[:2])
    mine = replace(campaign, starts=(start,))
    fake = FakeVllm(ttft_s=0.004, itl_s=0.002)
    with running(fake) as url, attached(url) as server:
        mine.attach(server, mine.start_with(1, 16))
    assert mine.left(start) == []
    assert mine.row(start, START)["vllm"] == "0.32.0"
    assert fake.models == [BASE_MODEL, *(f"adapter-{i}" for i in range(start.adapters))]
    assert not (tmp_path / "starts").exists()
    with pytest.raises(CalibrationError, match="no server with 3 slots of rank 16 is in the plan; it has 1 x 16"):
        mine.start_with(3, 16)


def test_of_several_rounds_the_mean_counts(campaign: Campaign, tmp_path: Path) -> None:
    start = campaign.starts[2]
    hours = [Hours(0.5, 3, 1.0, 7, validation=True, round=turn) for turn in range(3)]
    noisy = replace(campaign, starts=(replace(start, measurements=tuple(hours)),))
    figures = tmp_path / "work" / start.key
    figures.mkdir(parents=True)
    (figures / f"{START}.json").write_text('{"oom": 0}')
    for one, itl_ms in zip(hours, (9.4, 7.0, 7.3), strict=True):
        (figures / f"{one.key}.json").write_text(f'{{"itl_mean_ms": {itl_ms}}}')
    tabulate.write(noisy, "tiny", tmp_path / "tables")
    assert pd.read_csv(tmp_path / "tables" / tabulate.VALIDATION)["itl_mean_ms"].tolist() == [pytest.approx(7.9)]
    rounds = pd.read_csv(tmp_path / "tables" / tabulate.ROUNDS)
    assert rounds["itl_mean_ms"].tolist() == [9.4, 7.0, 7.3]
    assert rounds["group"].tolist() == [f"validation round {turn}" for turn in range(3)]
    assert tabulate.spreads(noisy) == {hours[0]: pytest.approx((9.4 - 7.0) / 7.9)}


def test_what_did_not_start_elsewhere_can_be_told(campaign: Campaign) -> None:
    start = campaign.starts[-1]
    campaign.note_out_of_memory(start)
    assert campaign.left(start) == []


def test_the_single_requests_are_kept(campaign: Campaign) -> None:
    start = campaign.starts[1]
    replace(campaign, starts=(replace(start, measurements=start.measurements[:2]),)).run()
    full = start.measurements[1]
    assert isinstance(full, FullBatch)
    kept = pd.read_csv(campaign.records(start, full.key))
    assert list(kept.columns) == [*RECORD]
    assert len(kept) == campaign.row(start, full.key)["completed"]
    assert (kept["ttft_ms"] > 0).all()


def test_missing_figures_are_named(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="measurements are missing, the first slots-0-rank-16/idle"):
        calibration.profile_of(campaign, TARGET, MACHINE, tmp_path / "tables", "")


def test_a_server_that_keeps_its_figures_to_itself_is_refused(campaign: Campaign, tmp_path: Path) -> None:
    command = tmp_path / "vllm"
    command.write_text(command.read_text().replace("itl_s=0.002", "itl_s=0.002, metrics_status=500"))
    served = campaign.starts[2]
    with pytest.raises(CalibrationError, match="/metrics: HTTP 500"):
        replace(campaign, starts=(served,)).run()
    assert campaign.left(served) == list(served.measurements)


def test_the_plan_covers_what_the_fit_needs() -> None:
    for scale in (plan.GPU, plan.BRIEF, plan.CPU):
        starts = plan.plan(scale, BASE)
        assert len({start.key for start in starts}) == len(starts) == len(scale.slots) + len(scale.ranks) + 1
        taken = [one for start in starts for one in start.measurements]
        assert {one.rank for one in taken if isinstance(one, Loads)} == set(scale.ranks)
        assert {one.validation for one in taken if isinstance(one, Hours)} == {True, False}
        assert [one.round for one in taken if isinstance(one, Crowd)] == list(range(scale.rounds))
        crowd = scale.crowd
        assert 2 <= crowd.per_adapter <= scale.batches[-1] / scale.middle_slots
        assert crowd.seconds <= 8
        assert {one.adapters for one in taken if isinstance(one, FullBatch)} >= {0, 1, scale.slots[-1]}
        for start in starts:
            assert start.adapters <= (start.settings.max_cpu_loras or 0)
            assert len({one.key for one in start.measurements}) == len(start.measurements)


def test_the_hurried_plan_begins_with_what_tells_most_and_fits_a_quarter_of_an_hour() -> None:
    starts = plan.hurried(plan.QUARTER, BASE)
    assert [start.settings.max_loras for start in starts] == [32, 0, 128, 1]
    for start in starts:
        slots, batches = start.settings.max_loras, [one for one in start.measurements if isinstance(one, FullBatch)]
        assert {one.batch for one in batches} == set(plan.QUARTER.batches)
        assert max(one.adapters for one in batches) == slots
        assert start.adapters <= (start.settings.max_cpu_loras or 0) or not slots
        hours = [one for one in start.measurements if isinstance(one, Hours)]
        assert [one.validation for one in hours] == ([True] if slots else [])
        assert len({one.key for one in start.measurements}) == len(start.measurements)
        assert plan.estimated_s([start], start_s=90.0, step_ms=20.0) < 195  # `calibrate/borrowed.sh` cuts it off then


def test_servers_of_other_slots_are_left_for_later(campaign: Campaign) -> None:
    campaign.run(slots=[2])
    measured = {start.settings.max_loras for start in campaign.starts if not campaign.left(start)}
    assert measured == {2}


def test_a_scale_that_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(CalibrationError, match="slots: at least 2 ascending numbers wanted"):
        replace(SCALE, slots=(4,))
    with pytest.raises(CalibrationError, match="served_adapters: more than 2"):
        replace(SCALE, served_adapters=2)
