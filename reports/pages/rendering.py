"""Writes a page as one HTML file that asks for nothing else: style, script, plots and pictures are inside it.

Plotly is packed (gzip, base64) and unpacked by the browser, which takes 2 MB instead of 5. Text is escaped by the templates.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from reports.pages.figure import Plot
from reports.pages.front import FrontRow, newest_first
from reports.pages.sweep import SweepPage, page_title


def sweep_html(page: SweepPage) -> str:
    """The page of a sweep."""
    library = _packed_plotly() if page.plots else ""
    return _rendered("sweep.html", page=page, title=page_title(page), plots=_json(page.plots), plotly=library)


def front_html(rows: Sequence[FrontRow]) -> str:
    """The page over all sweeps."""
    return _rendered("front.html", rows=newest_first(rows), title="Sweeps")


def _rendered(name: str, **content: Any) -> str:
    return _templates().get_template(name).render(style=_text("style.css"), script=_text("page.js"), **content)


@functools.cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("reports.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"zipped": functools.partial(zip, strict=True), "breakable": _breakable}
    return made


def _breakable(name: str) -> Markup:
    """A name that may be broken after its underscores and slashes."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/])", name))


def _text(name: str) -> str:
    return (files("reports.pages") / "templates" / name).read_text(encoding="utf-8")


def _json(plots: Sequence[Plot]) -> str:
    """For a script element: nothing in it can end that."""
    content = {plot.id: [asdict(variant) for variant in plot.variants] for plot in plots}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@functools.cache
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
