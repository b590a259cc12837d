"""The worth of backbones as text: two grids per downstream set, and a CSV line per configuration and measure.

Percent have one decimal. `-` is a missing number, or one that there cannot be: random initialisation has no pretext task.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from reports.backbone_worth import RETRIEVAL, TOP1, Configuration, Worth
from reports.seed_statistics import CONFIDENCE, RESAMPLES, estimate
from reports.sheet_formats import html_of, latex_of, markdown_of
from reports.table_formats import csv_data, csv_estimate, csv_number
from reports.table_sheet import Grid, Section, Sheet, circumstances, description, differences_of_settings, estimate_text, shown

Worths = Mapping[str, Sequence[Worth]]
"""Sweep -> what its backbones are worth."""

_RULES = (
    f"Mean [{CONFIDENCE:.0%} percentile bootstrap interval over seeds, {RESAMPLES} resamples]; (2): of 2 seeds only; seeds: "
    "complete ones, 2/3: of 3. Pretext accuracy: on validation videos, of the weights that were handed on. All else: on test "
    "videos. Linear probe: a linear classifier on features of the frozen backbone. R@k: share of videos that have one of their "
    "class among the k videos of the training split (validation videos included) nearest by those features."
)


def backbone_sheets(worths: Worths) -> list[Sheet]:
    """A sheet per sweep; one that says so where there are none."""
    sheets = [_sheet(sweep, worth) for sweep, worth in worths.items()]
    return sheets or [Sheet("backbones", "What backbones are worth", "No trials recorded", (), _RULES)]


def _sheet(sweep: str, worths: Sequence[Worth]) -> Sheet:
    records = {record.trial: record for worth in worths for record in worth.group.records}.values()
    complete = sum(record.outcome == "complete" for record in records)
    subtitle = f"Space {', '.join(sorted({record.space for record in records}))}: {complete} of {len(records)} trials complete"
    sections = tuple(_section(worth, [other for other in worths if other.data_set == worth.data_set]) for worth in worths)
    return Sheet(f"backbones/{sweep}", f"What the backbones of {sweep} are worth", subtitle, sections, _RULES)


def _section(worth: Worth, alike: Sequence[Worth]) -> Section:
    group, groups = worth.group, [other.group for other in alike]
    place = f", group {alike.index(worth) + 1} of {len(alike)}" if len(alike) > 1 else ""
    notes = (*description(group), *differences_of_settings(group, groups, declared=()))
    heading = f"Downstream set {shown(worth.data_set)}{place}: preset {circumstances(group)}"
    return Section(heading, notes, (_accuracies(worth), _retrieval(worth)))


def _accuracies(worth: Worth) -> Grid:
    columns = {
        heading: cells for what in worth.pretext for heading, cells in _pretext_columns(what, worth.configurations).items()
    }
    columns |= {measure: [_cell(one, measure) for one in worth.configurations] for measure in TOP1}
    caption = "Pretext accuracy on validation videos and top-1 on test videos, in percent"
    return _grid(caption if worth.pretext else "Top-1 on test videos, in percent", worth, columns)


def _retrieval(worth: Worth) -> Grid:
    columns = {measure: [_cell(one, measure) for one in worth.configurations] for measure in RETRIEVAL}
    return _grid("Nearest-neighbour retrieval of test videos, in percent", worth, columns)


def _grid(caption: str, worth: Worth, columns: Mapping[str, Sequence[str]]) -> Grid:
    labels = len(worth.headings)
    rows = tuple(
        (*one.label, _seeds(one), *(cells[place] for cells in columns.values()))
        for place, one in enumerate(worth.configurations)
    )
    return Grid(caption, (*worth.headings, "seeds", *columns), rows, labels)


def _pretext_columns(what: str, configurations: Sequence[Configuration]) -> dict[str, list[str]]:
    """The accuracies, and what guessing reaches: in the heading where that is one number, else in a column of its own."""
    cells = [_cell(one, what) for one in configurations]
    levels = {one.chance.get(what) for one in configurations if what in one.reached}
    if len(levels) > 1:
        return {f"{what} accuracy": cells, f"{what} chance": [_level(one.chance.get(what)) for one in configurations]}
    (level,) = levels
    return {f"{what} accuracy" if level is None else f"{what} accuracy (chance {_level(level)})": cells}


def _level(chance: float | None) -> str:
    return "-" if chance is None else f"{chance:.1f}"


def _cell(configuration: Configuration, measure: str) -> str:
    by_seed = configuration.reached.get(measure)
    if not by_seed:
        return "-"
    text = estimate_text(estimate(list(by_seed.values())), signed=False)
    return text if len(by_seed) == configuration.seeds else f"{text} ({len(by_seed)})"


def _seeds(configuration: Configuration) -> str:
    done, asked = configuration.seeds, configuration.asked
    return str(done) if done == asked else f"{done}/{asked}"


CSV_COLUMNS = (
    "sweep", "downstream", "group", "preset", "protocol", "protocol_version", "data", "missing_videos",
    "configuration", "measure", "mean", "low", "high", "seeds", "seeds_asked", "chance",
)  # fmt: skip


def comma_separated(worths: Worths) -> str:
    """One line per configuration and measure; percent, an empty field where there is no number.

    `group` counts the groups of comparable trials of a sweep; `data` lists name=data set:fingerprint.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for sweep, found in worths.items():
        for number, worth in enumerate(found, start=1):
            group = worth.group
            made = [group.preset, group.protocol, group.version, csv_data(group), group.missing_videos]
            for one in worth.configurations:
                for measure in (*worth.pretext, *TOP1, *RETRIEVAL):
                    by_seed = one.reached.get(measure)
                    value = csv_estimate(estimate(list(by_seed.values())) if by_seed else None)
                    cell = [" / ".join(one.label), measure, *value, one.asked, csv_number(one.chance.get(measure))]
                    writer.writerow([sweep, worth.data_set, number, *made, *cell])
    return text.getvalue()


FORMATS: dict[str, Callable[[Worths], str]] = {
    "md": lambda worths: markdown_of(backbone_sheets(worths)),
    "tex": lambda worths: latex_of(backbone_sheets(worths)),
    "csv": comma_separated,
    "html": lambda worths: html_of(backbone_sheets(worths)),
}
