"""The figures of a card, as SVG: the same bytes each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model_zoo.campaign.runs import STEADY
from model_zoo.evaluation.trials import Recommendation
from model_zoo.training.fit import Models, TimesTree

STYLE = {"svg.hashsalt": "model_zoo", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
SHOWN_SLOTS = 4
"""Slot counts whose curves are drawn."""


def draw(models: Models, recommendations: Sequence[Recommendation]) -> dict[str, bytes]:
    """File name -> figure; those of answers only where there are any."""
    figures = {"importances.svg": _importances(models)}
    if recommendations:
        figures |= {"admission.svg": _admission(recommendations), "curves.svg": _curves(_typical(recommendations))}
    return figures


def _admission(recommendations: Sequence[Recommendation]) -> bytes:
    """Admitted adapters against N*, and by how much they differ."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _axes(2)
        true = np.array([one.best.adapters for one in recommendations], dtype=float)
        admitted = np.array([max(one.adapters, 0.5) for one in recommendations])
        ends = [true.min(), true.max()]
        left.plot(ends, ends, color="0.6", linewidth=1)
        left.plot(true, admitted, "o", markersize=3, alpha=0.7)
        left.set(xscale="log", yscale="log", xlabel="N* of the twin", ylabel="adapters admitted")
        right.axhline(0, color="0.6", linewidth=1)
        right.plot(true, 100 * (admitted / true - 1), "o", markersize=3, alpha=0.7)
        right.set(xscale="log", xlabel="N* of the twin", ylabel="admitted above N*, %")
        return _svg(figure)


def _importances(models: Models) -> bytes:
    """What the shallow steady trees decide by."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(2)
        for axis, (title, tree) in zip(axes, _steady(models).items(), strict=True):
            importance = tree.tree.feature_importances_
            best = np.argsort(-importance, kind="stable")[:8][::-1]
            axis.barh([tree.features[i] for i in best], importance[best])
            axis.set(title=title, xlabel="share of the variance explained")
        return _svg(figure)


def _steady(models: Models) -> Mapping[str, TimesTree]:
    return {"load limit": models.load_limit["steady"], "slots": models.max_loras["steady"]}


def _curves(one: Recommendation) -> bytes:
    """Throughput and TTFT of a mix against the adapters served, for some slots; the answer marked."""
    runs = [run for run in one.explored.runs if run.measures.itl_ms > 0]
    tried = {slots: [run for run in runs if run.max_loras == slots] for slots in one.explored.slots}
    most = sorted(sorted(tried, key=lambda slots: (-len(tried[slots]), slots))[:SHOWN_SLOTS])
    with mpl.rc_context(STYLE):
        figure, (left, right) = _axes(2)
        for slots in most:
            adapters = [run.adapters for run in tried[slots]]
            label = f"{slots} slots"
            left.plot(adapters, [run.measures.throughput_tok_s for run in tried[slots]], linewidth=1, label=label)
            right.plot(adapters, [run.measures.ttft_ms / 1e3 for run in tried[slots]], linewidth=1, label=label)
        for axis in (left, right):
            axis.axvline(one.adapters, color="black", linestyle=":")
            axis.set(xscale="log", xlabel="adapters served")
        right.axhline(STEADY.ttft_limit_s, color="black", linewidth=0.8)
        left.set(
            ylabel="throughput, tokens/s",
            title=f"chosen: {one.adapters} on {one.max_loras} slots",
        )
        right.set(yscale="log", ylabel="mean TTFT, s")
        left.legend(fontsize=7)
        return _svg(figure)


def _typical(recommendations: Sequence[Recommendation]) -> Recommendation:
    """The mix whose N* is in the middle."""
    return sorted(
        recommendations,
        key=lambda one: (one.best.adapters, one.explored.recipe.number),
    )[len(recommendations) // 2]


def _axes(columns: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(4 * columns, 3.2), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _svg(figure: Figure) -> bytes:
    target = BytesIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
