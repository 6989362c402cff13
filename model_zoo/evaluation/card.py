"""The card of a pair: what its models were trained on, how good they are on what they have not seen, their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.features.vector import UNITS
from advisor.zoo.manifest import Manifest
from model_zoo.campaign.grid import INPUT_MEAN, OUTPUT_MEAN, POINTS, USUAL_RANKS, Grid
from model_zoo.campaign.profiles import MEASURED_SHARE, Profiles
from model_zoo.evaluation.evaluation import Line
from model_zoo.training.admission import MISSED
from twin.profile import Profile
from twin.service_level import TTFT_LIMIT_S

CAPTIONS = {
    "importances.svg": "What the shallow trees of `steady` decide by.",
    "admission.svg": "Adapters admitted against N*, on held-out mixes, and how far they are off "
    f"(steady, TTFT {TTFT_LIMIT_S:g} s).",
    "curves.svg": "A held-out mix: the dotted line is the number of adapters that the advisor admits.",
}
PAPERS = """\
What Agulló et al. print, on mixes of their kind, SMAPE in %:

| | N* | slots | throughput | ITL | TTFT | starved, macro-F1 |
|---|---|---|---|---|---|---|
| 2025 (arXiv 2508.08343), best models | 0.05 to 1.0 | 6.7 to 7.2 | | | | |
| 2025, their twin beside real runs | | | 4.2 to 5.1 | 9.0 to 9.7 | 17.6 to 17.9 | |
| 2026 (arXiv 2602.24044), best models | | | 4.4 to 5.3 | 9 to 11 | 18 to 19 | 0.955 to 0.99 |
| 2026, one small tree | | | 10 to 13 | | | 0.925 to 0.97 |"""
HEADINGS = {
    "smape_percent": "SMAPE %",
    "mape_percent": "MAPE %",
    "p95_percent": "P95 %",
    "macro_f1": "macro-F1",
    "missed_percent": "objective missed %",
    "starved_percent": "starved %",
    "throughput_regret_percent": "throughput lost %",
    "itl_regret_percent": "ITL above best %",
    "ttft_regret_s": "TTFT above best s",
    "refused_percent": "refused %",
    "given_away_percent": "given away where 5 % may miss, %",
}


def write(
    manifest: Manifest,
    profiles: Profiles,
    grid: Grid,
    report: Mapping[str, Sequence[Line]],
    *,
    further: Mapping[str, str],
    rules: Mapping[str, str],
    figures: Mapping[str, bytes],
) -> str:
    """The card in Markdown.

    `report` has the lines of every judgement under its title, `further` more sections by
    title, `rules` the text of every tree,
    `figures` the files beside the card.
    """
    parts = [
        f"# {manifest.pair or 'Models for any pair'}",
        f"{_who(manifest, profiles)} Made by `{manifest.command}`.",
        "## Trained on",
        _training(manifest, grid),
        "## How good on held-out mixes",
        _answers(manifest),
        "SMAPE = 100 · mean(|a - b| / (|a| + |b|)), about half the relative error; MAPE and the 95th percentile (P95) "
        "are of the relative error itself. “Above best” and “lost” are means against the best configuration that "
        "the search found for the same mix.",
    ]
    for title, lines in report.items():
        parts += [f"### {title}", _table(lines)]
    parts += [f"![{CAPTIONS[name]}]({name})\n\n{CAPTIONS[name]}" for name in figures]
    parts += ["## Beside the papers", PAPERS]
    for title, text in further.items():
        parts += [f"## {title}", text]
    for profile in profiles.measured:
        if "step" in profile.fits:
            parts += [f"## What a step takes: {profile.pair.name}", _step(profile)]
    parts += ["## Limits", _limits(manifest), "## Rules"]
    for title, text in rules.items():
        parts += [f"### {title}", f"```\n{text.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _who(manifest: Manifest, profiles: Profiles) -> str:
    if not profiles.drawn:
        return f"{manifest.model} on {manifest.gpu}, vLLM {manifest.vllm}."
    names = " and ".join(profile.pair.name for profile in profiles.measured)
    return (
        f"One set of models answers for every Profile. They know it by features that mean the same on any GPU. "
        f"{MEASURED_SHARE:.0%} of the mixes were served under the measured Profiles ({names}), every other under a "
        "Profile drawn for it, so that a held-out mix of those is of a Profile never seen."
    )


def _answers(manifest: Manifest) -> str:
    required = {each.objective: each.required for each in manifest.chances}
    margin = next((each.margin for each in manifest.ensembles if each.output == "itl_ms"), 1.0)
    return (
        "The advisor admits the largest number of adapters for which some number of slots keeps the objective with a "
        f"probability of at least {required['steady']:.0%} (steady): the lowest with which at most {MISSED:.1%} of the "
        "recommendations missed it in cross-validation on the training mixes. `published` is a best guess at the limit "
        f"of the papers: it asks for {required['published']:.0%}, with which its guesses came nearest to N* there. The "
        "tables below also show what the shallow trees, where the search begins, lose against the classifier's best "
        f"guess. An ITL limit is kept with a margin of {100 * margin - 100:.1f} %, which 19 of 20 steady hours of the "
        "training mixes stayed within in cross-validation."
    )


def _training(manifest: Manifest, grid: Grid) -> str:
    held_out = grid.mixes - manifest.workloads
    every = grid.adapters
    kinds = (
        "The papers' mixes: three classes of rates out of 3.2 … 0.003125 requests/s, three ranks out of 8, 16, 32, "
        "ShareGPT's request lengths. "
        if every
        else "A quarter are of the papers' kind (three classes of rates out of 3.2 … 0.003125 requests/s, ShareGPT's "
        f"request lengths). The others have ranks up to {max(USUAL_RANKS)}, rates from even to heavy-tailed "
        f"(log-normal, Zipf), mean prompts of {INPUT_MEAN[0]:.0f} … {INPUT_MEAN[1]:,.0f} and answers of "
        f"{OUTPUT_MEAN[0]:.0f} … {OUTPUT_MEAN[1]:,.0f} tokens, and are in equal parts *alike* (lengths the same for "
        "all adapters, Poisson arrivals), *bursty* (gaps that vary 1 to 5 times as much), *varied* (other lengths for "
        "every adapter), or like the clients of a *production* service (all of it at once, as in ServeGen, arXiv "
        "2505.09999). "
    )
    search = (
        "Every number of slots was tried for each of these numbers of adapters."
        if every
        else "N*, the most adapters that keep the objective, is found by bisection; the models see other inventories "
        "of the same mix than the runs. Mixes of the papers' kind that are served as theirs were are also run at the "
        f"{_points(POINTS)} points of the papers' grid."
    )
    return (
        f"{manifest.workloads} mixes of adapters (and {held_out} held out), {manifest.simulations:,} runs of "
        f"{grid.duration_s:g} s, seed {manifest.seed}. {kinds}Up to {manifest.max_adapters:,} adapters on "
        f"{', '.join(f'{times:g}' for times in manifest.slots)} times the slots of the estimate, as far as memory "
        f"allows. {search}"
    )


def _points(counts: Sequence[int]) -> int:
    """Of a grid with as many slots as adapters, or fewer."""
    return len(counts) * (len(counts) + 1) // 2


def _step(profile: Profile) -> str:
    fit = profile.fits["step"]
    total = sum(fit.contributions.values()) or 1.0
    fields = type(profile.step).model_fields
    rows = []
    for name, ms in fit.contributions.items():
        value, unit = f"{getattr(profile.step, name):.4g}", fields[name].description
        rows.append(f"| {name} | {value} | {unit} | {ms:.2f} | {100 * ms / total:.1f} |")
    return (
        f"The twin's step model: {fit.rows} measurements, MAPE {fit.mape_percent:.1f} %, P95 {fit.p95_percent:.1f} %. "
        "Contributions are means over the measured hours of serving that it was fitted to; scheduling and loading come "
        "on top.\n\n| term | value | unit | ms of a step | % of it |\n|---|---|---|---|---|\n" + "\n".join(rows)
    )


def _limits(manifest: Manifest) -> str:
    ranges = "\n".join(
        f"| {name} | {low:.4g} | {high:.4g} | {UNITS[name]} |" for name, (low, high) in manifest.range.items()
    )
    return (
        "The models know the digital twin, not the GPU: see the profile for how well the twin is calibrated. "
        "Log-normal gaps, rates that switch over time, and what is beyond the range below were not trained on.\n\n"
        f"| feature | from | to | unit |\n|---|---|---|---|\n{ranges}"
    )


def _table(lines: Sequence[Line]) -> str:
    shown = [line for line in lines if line.errors]
    names = list(dict.fromkeys(name for line in shown for name in line.errors))
    head = f"| | cases | {' | '.join(HEADINGS[name] for name in names)} |"
    rows = [
        f"| {line.what} | {line.cases:,} | "
        + " | ".join(
            f"{line.errors[name]:{'.3f' if name == 'macro_f1' else '.2f'}}" if name in line.errors else ""
            for name in names
        )
        + " |"
        for line in shown
    ]
    return "\n".join([head, "|---|---|" + "---|" * len(names), *rows])
