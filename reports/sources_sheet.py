"""The sources of variance of a configuration, as a sheet: how far seeds differ by each alone, and its share of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.circumstances import circumstances, description, differences_of_settings, set_name
from reports.lines import VARIANCE_COLUMNS, variance_lines
from reports.seeds import Spread
from reports.sheet import Grid, Section, Sheet, number_text
from reports.sources import VARY, Source, Sources

_RULES = (
    "Standard deviation over seeds, in percentage points [95% interval, by the chi-squared distribution, which takes "
    "values for normal]. One source follows the seed, the others have the random numbers of seeds.others. Rounding: every"
    " initial weight of every stage moved by one unit in its last place; what it does no experiment can tell from an "
    "effect, whatever is fixed. Choice of test videos: the standard error of a share of so many videos, which is the same"
    " for all seeds here. Share: variance over that of all that follows a seed; of few seeds a share may exceed 100 %, "
    "and shares need not add up, as sources act on each other."
)
_VIDEOS = "choice of test videos"


def sources_sheet(found: Mapping[str, Sequence[Sources]]) -> Sheet:
    """A section per sweep, downstream set and group; one that says so where no trial varies the sources."""
    sections = tuple(_section(sweep, one, of_sweep) for sweep, of_sweep in found.items() for one in of_sweep)
    subtitle = "How far the seeds of one configuration differ by each source of variance alone"
    none = f"No trial that varies {VARY}: python harness/sweep.py --space variance --seeds 10"
    lines = tuple(variance_lines(found))
    title = "Where differences between seeds come from"
    return Sheet("variance", title, subtitle if sections else none, sections, _RULES, VARIANCE_COLUMNS, lines)


def _section(sweep: str, one: Sources, of_sweep: Sequence[Sources]) -> Section:
    groups = [other.group for other in of_sweep if other.data_set == one.data_set]
    notes = (*description(one.group), *differences_of_settings(one.group, groups, said={VARY}))
    heading = f"{sweep} on {set_name(one.data_set)}: preset {circumstances(one.group)}"
    return Section(heading, notes, (_spreads(one), _shares(one)))


def _spreads(one: Sources) -> Grid:
    rows = [
        (source.label, str(source.seeds), *(_spread_text(source.spreads.get(measure)) for measure in one.measures))
        for source in one.sources
    ]
    videos = [one.of_videos(measure) for measure in one.measures]
    if any(value is not None for value in videos):
        rows.append((_VIDEOS, str(one.videos), *(number_text(value, signed=False) for value in videos)))
    caption = "Standard deviation over seeds, percentage points"
    return Grid(caption, ("varies", "seeds", *one.measures), tuple(rows), 1)


def _shares(one: Sources) -> Grid:
    alone = [source for source in one.sources if source is not one.every]
    rows = tuple((source.label, *(_share_text(one, source, measure) for measure in one.measures)) for source in alone)
    return Grid("Share of the variance of all that follows a seed", ("varies", *one.measures), rows, 1)


def _share_text(one: Sources, source: Source, measure: str) -> str:
    share = one.share(source, measure)
    return "-" if share is None else f"{share:.0%}"


def _spread_text(value: Spread | None) -> str:
    if value is None:
        return "-"
    low, high = value.interval
    return f"{value.value:.1f} [{low:.1f}, {high:.1f}]"
