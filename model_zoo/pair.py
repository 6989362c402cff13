"""The files of models: from a campaign's runs to graphs, card and manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sklearn.base import RegressorMixin
from sklearn.tree import export_text
from threadpoolctl import threadpool_limits

from advisor.features.vector import MIX_FEATURES, SERVING_FEATURES, SLOTS_FEATURES, UNITS
from advisor.zoo.manifest import Chance, Ensemble, Graph, Manifest, Tree
from advisor.zoo.models import Models as Shipped
from advisor.zoo.models import load_models
from advisor.zoo.pair import Pair
from model_zoo.campaign.campaign import Campaign
from model_zoo.campaign.runs import OBJECTIVE_NAMES, ObjectiveName
from model_zoo.evaluation import card, figures, real_runs
from model_zoo.evaluation.report import judge
from model_zoo.evaluation.trials import Pairs
from model_zoo.training import admission
from model_zoo.training.dataset import Table, Tables, is_held_out, tabulate
from model_zoo.training.export import ensembles_to_onnx, trees_to_onnx
from model_zoo.training.fit import TARGETS, Models, TimesTree, TreeOutput, fit, scale_of
from twin.files import write_whole
from twin.profile import Profile

Entry = TypeVar("Entry", Tree, Ensemble, Chance)

PROFILE, MANIFEST, CARD = "profile.toml", "manifest.json", "card.md"
RULES, SERVING = "rules.onnx", "serving.onnx"
MADE = ("*.onnx", "*.svg", "*.unfinished")
"""What builds leave beside manifest, card and profile."""
LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "skl2onnx", "onnx")
"""Whose versions decide what comes out."""
FEATURES: dict[TreeOutput, tuple[str, ...]] = {"load_limit": MIX_FEATURES, "max_loras": SLOTS_FEATURES}
"""Of a tree."""


def make(
    campaign: Campaign,
    command: str,
    *,
    date: str = "",
    runs: Path | None = None,
    with_comparison: bool = False,
) -> dict[str, bytes]:
    """Run the campaign, train and judge; the files of its models by name, the manifest last.

    `command` and `date` go into the manifest as they are. The card also compares what is recommended with measured
    `runs`, and the families of models with each other, where that is wanted.

    Raises:
        ZooError: too few mixes to train on and to judge by.
    """
    # One thread: on busy cores, threads that wait for each other take many times as long.
    with threadpool_limits(1):
        return _make(campaign, command, date=date, runs=runs, with_comparison=with_comparison)


def _make(campaign: Campaign, command: str, *, date: str, runs: Path | None, with_comparison: bool) -> dict[str, bytes]:
    findings = campaign.findings()
    train, held_out = tabulate(findings, campaign.profiles, campaign.grid.max_adapters, campaign.jobs).split()
    models = fit(train, campaign.jobs)
    trees = [
        Tree(objective=each, output=output, times=getattr(models, output)[each].times, error={})
        for each in OBJECTIVE_NAMES
        for output in FEATURES
    ]
    ensembles = [
        Ensemble(output=each, times=scale_of(each), margin=models.margins.get(each, 1.0), error={}) for each in TARGETS
    ]
    likely = [Chance(objective=each, required=models.required[each], error={}) for each in OBJECTIVE_NAMES]
    graph, features = _serving_graph(models)
    files = {RULES: _rules_graph(models, trees), SERVING: graph}
    own: dict[str, str] = {}
    if not campaign.profiles.drawn:
        (profile,) = campaign.profiles.measured
        own, files = _names(profile), {PROFILE: profile.to_toml().encode(), **files}
    manifest = Manifest(
        **own,
        command=command,
        date=date,
        versions={library: version(library) for library in LIBRARIES},
        seed=campaign.seed,
        workloads=sum(not is_held_out(each.recipe) for each in findings.searched),
        simulations=findings.runs,
        max_adapters=campaign.grid.max_adapters,
        slots=list(campaign.grid.slots),
        range=_range(train),
        rules=Graph(file=RULES, features=[*SLOTS_FEATURES]),
        trees=trees,
        serving=Graph(file=SERVING, features=[*features]),
        ensembles=ensembles,
        chances=likely,
        sha256={},
    )
    unseen = findings.where(is_held_out)
    with _installed(manifest, files) as installed:
        report = judge(models, Pairs(campaign.profiles, installed), (train, held_out), unseen, campaign)
        measured = [Pair(profile, installed) for profile in campaign.profiles.measured if runs]
        verdicts = {pair.name: real_runs.judge(pair, runs) for pair in measured if runs}
    further = {
        f"Beside measured runs: {name}": f"{real_runs.ABOUT}\n\n{real_runs.table(found)}"
        for name, found in verdicts.items()
        if found
    }
    if with_comparison:
        further |= dict(compared(train, held_out, campaign))
    judged = manifest.model_copy(
        update={
            "trees": [_with_error(entry, report.of_tree(entry.objective, entry.output)) for entry in trees],
            "ensembles": [_with_error(entry, report.of_ensemble(entry.output)) for entry in ensembles],
            "chances": [_with_error(entry, report.of_chance(entry.objective)) for entry in likely],
        }
    )
    rules = {f"{entry.output}, {entry.objective}": _rules(models, entry) for entry in trees}
    drawn = figures.draw(models, report.recommendations["steady"])
    text = card.write(
        judged, campaign.profiles, campaign.grid, report.sections(), further=further, rules=rules, figures=drawn
    )
    files |= {**drawn, CARD: text.encode()}
    return {**files, MANIFEST: _manifest_json(judged, files)}


def compared(train: Tables, held_out: Tables, campaign: Campaign) -> Iterator[tuple[str, str]]:
    """Sections of a card, with their titles: what else could have been shipped, and how that does."""
    from model_zoo.training import comparison, pooling  # import much that nothing else needs

    if campaign.profiles.drawn:
        table = pooling.table_of(pooling.pooled(train, held_out, campaign.profiles, campaign.jobs))
        yield "A pair's own models, one set for all, and both", f"{pooling.ABOUT}\n\n{table}"
    families = comparison.table_of(comparison.compare(train, campaign.jobs))
    yield "Families of models", f"{comparison.ABOUT}\n\n{families}"


def write(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Replace the files of models, each at once; those that only a former build made go, and are named.

    These are what its manifest lists and, of whatever format or half-written, every graph and figure: nothing else in
    their folder could use them. What else is there stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outdated = _listed(folder / MANIFEST) | {path.name for made in MADE for path in folder.glob(made)}
    for name, data in files.items():
        write_whole(folder / name, data)
    removed = sorted(path.name for path in folder.iterdir() if path.name in outdated - files.keys())
    for name in removed:
        (folder / name).unlink()
    return removed


def _rules_graph(models: Models, trees: Sequence[Tree]) -> bytes:
    """The graph of the trees; SLOTS_FEATURES, its input, hold the features of all."""
    return trees_to_onnx(
        {entry.name: _fitted(models, entry).tree for entry in trees},
        {entry.name: FEATURES[entry.output] for entry in trees},
    )


def _serving_graph(models: Models) -> tuple[bytes, tuple[str, ...]]:
    """The graph of all that is expected of a configuration, and its features."""
    fitted: dict[str, RegressorMixin] = {}
    features: dict[str, tuple[str, ...]] = {}
    for output, ensemble in models.ensembles.items():
        fitted[output], features[output] = ensemble, SERVING_FEATURES
    for name, chance in models.classifiers.items():
        fitted[name], features[name] = chance, admission.FEATURES[name]
    return ensembles_to_onnx(fitted, features), max(features.values(), key=len)


@contextmanager
def _installed(manifest: Manifest, files: Mapping[str, bytes]) -> Iterator[Shipped]:
    """The models as the advisor will find them, in a folder of their own."""
    with TemporaryDirectory() as folder:
        for name, data in {**files, MANIFEST: _manifest_json(manifest, files)}.items():
            (Path(folder) / name).write_bytes(data)
        yield load_models(Path(folder))


def _names(profile: Profile) -> dict[str, str]:
    """What models are called that answer for one Profile alone."""
    pair = profile.pair
    return {"pair": pair.name, "model": pair.model, "gpu": pair.gpu, "vllm": pair.vllm}


def _manifest_json(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return f"{manifest.model_copy(update={'sha256': hashes}).model_dump_json(indent=1)}\n".encode()


def _with_error(entry: Entry, error: dict[str, float]) -> Entry:
    return entry.model_copy(update={"error": error})


def _fitted(models: Models, entry: Tree) -> TimesTree:
    fitted: dict[ObjectiveName, TimesTree] = getattr(models, entry.output)
    return fitted[entry.objective]


def _rules(models: Models, entry: Tree) -> str:
    tree, features = _fitted(models, entry).tree, FEATURES[entry.output]
    text = export_text(tree, feature_names=features, decimals=4, max_depth=100)
    return f"{entry.output} = value x {entry.times}\n\n{text}"


def _range(train: Tables) -> dict[str, tuple[float, float]]:
    """The range of every feature in training."""
    tables: list[Table[Any]] = [*train.limits.values(), *train.slots.values(), train.runs]
    columns = {name: [table.column(name) for table in tables if name in table.features] for name in UNITS}
    return {
        name: (float(min(column.min() for column in found)), float(max(column.max() for column in found)))
        for name, found in columns.items()
        if found
    }


def _listed(manifest: Path) -> set[str]:
    """The files that a manifest names, of whatever format it is; none where there is no manifest."""
    try:
        return set(json.loads(manifest.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
