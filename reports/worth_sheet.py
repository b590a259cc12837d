"""What the backbones of a sweep are worth, as a sheet: two grids per downstream set.

Percent have one decimal. `-` is a missing number, or one that there cannot be: random initialisation has no pretext task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.circumstances import circumstances, description, differences_of_settings, set_name
from reports.lines import WORTH_COLUMNS, worth_lines
from reports.power import POWER
from reports.sheet import INTERVALS, Grid, Line, Section, Sheet, counted, estimate_text, listed, marks_of, number_text
from reports.worth import MEASURES, RETRIEVAL, TOP1, Backbone, Worth

_RULES = (
    f"Mean {INTERVALS}; (2): of 2 seeds only; seeds: "
    "complete ones, 2/3: of 3. Pretext accuracy: on validation videos, of the weights that were handed on. All else: on test "
    "videos. Linear probe: a linear classifier on features of the frozen backbone. R@k: share of videos that have one of their "
    "class among the k videos of the training split (validation videos included) nearest by those features. Cannot be seen: a "
    f"true difference that the paired t test over seeds misses in more than {1 - POWER:.0%} of cases."
)


def worth_sheets(worths: Mapping[str, Sequence[Worth]]) -> list[Sheet]:
    """A sheet per sweep, given what its backbones are worth; one that says so where there are none."""
    none = _sheet("backbones", "What backbones are worth", "No trials recorded")
    return [_sheet_of(sweep, of_sweep) for sweep, of_sweep in worths.items()] or [none]


def _sheet_of(sweep: str, worths: Sequence[Worth]) -> Sheet:
    records = {record.trial: record for worth in worths for record in worth.group.records}.values()
    complete = sum(record.outcome == "complete" for record in records)
    subtitle = f"Space {', '.join(sorted({record.space for record in records}))}: {complete} of {len(records)} trials complete"
    sections = [_section(worth, [other for other in worths if other.data_set == worth.data_set]) for worth in worths]
    title = f"What the backbones of {sweep} are worth"
    return _sheet(f"backbones/{sweep}", title, subtitle, sections, list(worth_lines(sweep, worths)))


def _sheet(identity: str, title: str, subtitle: str, sections: Sequence[Section] = (), lines: Sequence[Line] = ()) -> Sheet:
    return Sheet(identity, title, subtitle, tuple(sections), _RULES, WORTH_COLUMNS, tuple(lines))


def _section(worth: Worth, alike: Sequence[Worth]) -> Section:
    group, groups = worth.group, [other.group for other in alike]
    which = f", group {alike.index(worth) + 1} of {len(alike)}" if len(alike) > 1 else ""
    notes = (*description(group), *differences_of_settings(group, groups, said=()))
    heading = f"Downstream set {set_name(worth.data_set)}{which}: preset {circumstances(group)}"
    return Section(heading, notes, (_accuracies(worth), _retrieval(worth)))


def _accuracies(worth: Worth) -> Grid:
    columns = {heading: cells for what in worth.pretext for heading, cells in _pretext_columns(what, worth.backbones).items()}
    columns |= {measure: [_cell(backbone, measure) for backbone in worth.backbones] for measure in TOP1}
    caption = "Pretext accuracy on validation videos and top-1 on test videos, in percent"
    return _grid(caption if worth.pretext else "Top-1 on test videos, in percent", worth, columns)


def _retrieval(worth: Worth) -> Grid:
    columns = {measure: [_cell(backbone, measure) for backbone in worth.backbones] for measure in RETRIEVAL}
    return _grid("Nearest-neighbour retrieval of test videos, in percent", worth, columns)


def _grid(caption: str, worth: Worth, columns: Mapping[str, Sequence[str]]) -> Grid:
    numbers = zip(*columns.values(), strict=True)
    rows = tuple((*backbone.label, _seeds(backbone), *cells) for backbone, cells in zip(worth.backbones, numbers, strict=True))
    first = len(worth.headings)
    means = {
        first + 1 + place: [
            backbone.reached[measure].mean if measure in backbone.reached else None for backbone in worth.backbones
        ]
        for place, measure in enumerate(columns)
    }
    note = _what_is_seen(worth, [measure for measure in columns if measure in MEASURES])
    return Grid(caption, (*worth.headings, "seeds", *columns), rows, first, note, marks_of(means))


def _what_is_seen(worth: Worth, measures: Sequence[str]) -> str:
    """The smallest differences from the best row that can be seen, in words; nothing where the spread is not known."""
    found = {measure: seen for measure in measures if (seen := worth.sensitivity(measure)) is not None}
    if not found:
        return ""
    seen = next(iter(found.values()))
    videos = f"{counted(seen.videos, 'test video')} and " if seen.videos else ""
    points = listed([f"{number_text(seen.detectable, signed=False)} ({measure})" for measure, seen in found.items()])
    seeds = counted(max(seen.seeds for seen in found.values()), "seed")
    return f"With {videos}{seeds} differences from the best row under {points} points cannot be seen."


def _pretext_columns(what: str, backbones: Sequence[Backbone]) -> dict[str, list[str]]:
    """The accuracies, and what guessing reaches: in the heading where that is one number, else in a column of its own."""
    cells = [_cell(backbone, what) for backbone in backbones]
    levels = {backbone.chance.get(what) for backbone in backbones if what in backbone.reached}
    if len(levels) > 1:
        return {f"{what} accuracy": cells, f"{what} chance": [_level(backbone.chance.get(what)) for backbone in backbones]}
    (level,) = levels
    return {f"{what} accuracy" if level is None else f"{what} accuracy (chance {_level(level)})": cells}


def _level(chance: float | None) -> str:
    return "-" if chance is None else f"{chance:.1f}"


def _cell(backbone: Backbone, measure: str) -> str:
    value = backbone.reached.get(measure)
    if value is None:
        return "-"
    text = estimate_text(value, signed=False)
    return text if value.n == backbone.seeds else f"{text} ({value.n})"


def _seeds(backbone: Backbone) -> str:
    done, asked = backbone.seeds, backbone.asked
    return str(done) if done == asked else f"{done}/{asked}"
