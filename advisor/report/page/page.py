"""A page by its template."""

from __future__ import annotations

from typing import Any


def render(template: str, **values: Any) -> str:
    """The page. Whatever an inventory holds is text in it: the templates escape all that they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("advisor.report.page"),
    )
    return environment.get_template(template).render(values)
