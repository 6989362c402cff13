"""What a fit found, as tables to read."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from twin.profile import Profile


def fit_report(profile: Profile) -> Group:
    """Residuals, ranges and constants of every section."""
    residuals = Table("section", "rows", "MAPE %", "P95 %", "range", title=profile.pair.name, title_justify="left")
    for section, fit in profile.fits.items():
        ranges = ", ".join(f"{name} {low:g} … {high:g}" for name, (low, high) in fit.range.items())
        residuals.add_row(section, str(fit.rows), f"{fit.mape_percent:.2f}", f"{fit.p95_percent:.2f}", ranges)
    constants = Table("section", "constant", "value", "unit", title_justify="left")
    for section in ("memory", "step", "scheduling", "loading", "front_end"):
        model = getattr(profile, section)
        for name, field in type(model).model_fields.items():
            constants.add_row(section, name, f"{getattr(model, name):g}", field.description)
    notes = [f"{section}: {fit.note}" for section, fit in profile.fits.items() if fit.note]
    return Group(residuals, constants, *notes)
