"""What tables say as lines of a CSV file: percent and percentage points, an empty field where there is no number.

`low` and `high` are the bounds of the interval over seeds, of two seeds the range.
`data` lists name=data set:fingerprint; `group` counts the groups of comparable trials.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from reports.circumstances import backbone_of, is_comparable
from reports.comparison import Cell, Effect, FilledTable
from reports.costs import QUANTITIES, FilledCosts
from reports.evidence import Score
from reports.front import front, objectives_of
from reports.groups import Group
from reports.leaderboard import Leaderboard, Ranked, values_of
from reports.pairs import Paired
from reports.power import Sensitivity
from reports.seeds import Estimate, Outperforming, VideoError, estimate
from reports.sheet import Line, configuration_text
from reports.sources import Sources
from reports.teaching import Teaching
from reports.verdicts import Judgement
from reports.worth import MEASURES, Worth
from search_spaces.papers import PaperTable, PublishedRow

TABLE_COLUMNS = (
    "table", "group", "comparable", "preset", "protocol", "protocol_version", "data", "missing_videos", "recipe", "backbone",
    "row", "measure", "published", "mean", "low", "high", "seeds", "seeds_asked", "splits", "splits_asked",
    "against", "effect_published", "effect_mean", "effect_low", "effect_high", "effect_seeds",
    "test", "statistic", "p", "p_holm", "p_smaller", "higher", "higher_low", "higher_high", "verdict",
    "detectable", "seeds_needed", "over",
)  # fmt: skip

WORTH_COLUMNS = (
    "sweep", "downstream", "group", "preset", "protocol", "protocol_version", "data", "missing_videos",
    "configuration", "measure", "mean", "low", "high", "seeds", "seeds_asked", "chance",
)  # fmt: skip


def comparison_lines(filled: FilledTable) -> Iterator[Line]:
    """One line per cell of every group; a cell with several effects has a line for each.

    `against` is the row that an effect is measured against. `p_holm` is `p`, corrected for all effects of the group, as is
    `p_smaller`, that of being smaller than the paper's. `higher` is the probability that the row is above the other one. `over`
    says what intervals and tests of effects are over, `seeds` or `seeds and videos`. `detectable` are points that the seeds at
    hand see, `seeds_needed` how many see the paper's effect. `comparable` is `no` where the paper's circumstances were other
    ones. `verdict` is `reference` for rows without an effect that others are measured against, and `quoted` for rows that the
    paper took from another one.
    """
    table = filled.table
    for number, comparison in enumerate(filled.comparisons, start=1):
        of_group = _of_table(table, number, comparison.group)
        for compared in comparison.rows:
            for measure, cell, seen in zip(table.measures, compared.cells, comparison.sensitivities, strict=True):
                line = {**of_group, "row": compared.row.label, "measure": measure.column, **_of_cell(compared.row, cell)}
                if compared.row.quoted:
                    yield {**line, "verdict": "quoted"}
                elif not cell.effects:
                    yield {**line, "verdict": "reference" if table.is_reference(compared.row) else ""}
                else:
                    yield from ({**line, **_of_effect(effect, seen)} for effect in cell.effects)


def cost_lines(filled: FilledCosts) -> Iterator[Line]:
    """One line per network and quantity, in the unit that `measure` names; `low` and `high`: the range over seeds."""
    for number, costs in enumerate(filled.costs, start=1):
        of_group = _of_table(filled.table, number, costs.group)
        for network, name in filled.table.networks.items():
            for quantity in QUANTITIES:
                line = {**of_group, "row": name, "measure": quantity.heading, "seeds": 0, "seeds_asked": costs.asked}
                if spread := costs.spreads.get((network, quantity.name)):
                    numbers = {name: _number(getattr(spread, name)) for name in ("mean", "low", "high")}
                    line |= {**numbers, "seeds": spread.n}
                yield line


def worth_lines(sweep: str, worths: Sequence[Worth]) -> Iterator[Line]:
    """One line per configuration and measure."""
    for number, worth in enumerate(worths, start=1):
        of_group = {"sweep": sweep, "downstream": worth.data_set, **_of_group(number, worth.group)}
        for backbone in worth.backbones:
            for measure in (*worth.pretext, *MEASURES):
                yield {
                    **of_group,
                    "configuration": " / ".join(backbone.label),
                    "measure": measure,
                    **_of_estimate(backbone.reached.get(measure)),
                    "seeds_asked": backbone.asked,
                    "chance": _number(backbone.chance.get(measure)),
                }


TEACHING_COLUMNS = (
    "downstream", "group", "preset", "protocol", "protocol_version", "data", "missing_videos", "teacher", "measure",
    "mean", "low", "high", "seeds", "chance", "rule", "p_holm", "verdict",
)  # fmt: skip


def teaching_lines(found: Sequence[Teaching]) -> Iterator[Line]:
    """Four lines per teacher: its task, tested against the rule, top-1 from the task, from scratch, and the difference."""
    for number, one in enumerate(found, start=1):
        of_group = {"downstream": one.data_set, **_of_group(number, one.group)}
        for teacher in one.teachers:
            line = {**of_group, "teacher": teacher.name}
            levels = {"chance": _number(teacher.chance), "rule": _number(teacher.rule)}
            yield {
                **line,
                "measure": teacher.metric,
                **_of_values(teacher.reached.values()),
                **levels,
                **_of_test(teacher.task),
            }
            yield {**line, "measure": "top-1 from its task", **_of_values(teacher.taught.values())}
            yield {**line, "measure": "top-1 from scratch", **_of_values(teacher.scratch.values())}
            yield {**line, "measure": "difference", **_of_estimate(teacher.gain), **_of_test(teacher.transfer)}


VARIANCE_COLUMNS = (
    "sweep", "downstream", "group", "preset", "protocol", "protocol_version", "data", "missing_videos",
    "varies", "measure", "deviation", "low", "high", "seeds", "share",
)  # fmt: skip


def variance_lines(found: Mapping[str, Sequence[Sources]]) -> Iterator[Line]:
    """One line per source and measure: the standard deviation over seeds, and the share of the whole variance, from 0 to 1."""
    for sweep, of_sweep in found.items():
        for number, one in enumerate(of_sweep, start=1):
            of_group = {"sweep": sweep, "downstream": one.data_set, **_of_group(number, one.group)}
            for source in one.sources:
                for measure, value in source.spreads.items():
                    low, high = map(_number, value.interval)
                    numbers = {"deviation": _number(value.value), "low": low, "high": high, "seeds": value.n}
                    share = _number(one.share(source, measure))
                    yield {**of_group, "varies": source.label, "measure": measure, **numbers, "share": share}


def _of_values(values: Collection[float]) -> dict[str, object]:
    return _of_estimate(estimate(list(values)) if values else None)


def _of_test(judgement: Judgement | None) -> dict[str, object]:
    return {"p_holm": _p(judgement.p), "verdict": judgement.verdict or ""} if judgement else {}


PAIR_COLUMNS = (
    "first", "second", "metric", "configuration", "seeds", "first_mean", "first_low", "first_high",
    "second_mean", "second_low", "second_high", "difference_mean", "difference_low", "difference_high",
    "higher", "higher_low", "higher_high", "p", "p_holm", "detectable", "over", "not_compared",
)  # fmt: skip


def pair_lines(found: Paired) -> Iterator[Line]:
    """One line per configuration that both sides have, one over all of them, and one for each that is not compared."""
    sides = {"first": found.first.name, "second": found.second.name, "metric": found.metric}
    for one in (*found.pairs, *([found.overall] if found.overall else [])):
        yield {
            **sides,
            "configuration": configuration_text(one.label, one.parameters),
            "seeds": one.difference.n,
            **_prefixed("first", one.first),
            **_prefixed("second", one.second),
            **_prefixed("difference", one.difference),
            **_of_outperforming(one.higher),
            "p": _p(one.test.p if one.test else None),
            "p_holm": _p(one.corrected),
            "detectable": _number(one.detectable),
            "over": _over(one.videos) if one.test else "",
        }
    for refused in found.refused:
        yield {**sides, "configuration": configuration_text(refused.label, refused.parameters), "not_compared": refused.why}


CLAIM_COLUMNS = (
    "claim", "where", "claim_verdict", "preset", "effect", "measure", "table", "published", "mean", "low", "high", "seeds",
    "higher", "higher_low", "higher_high", "test", "p", "p_holm", "p_smaller", "over", "verdict", "command",
)  # fmt: skip


def claim_lines(scores: Sequence[Score]) -> Iterator[Line]:
    """One line per effect of a claim and preset; of claims without trials, too. `command` runs the effect's rows."""
    for score in scores:
        claim = {"claim": score.claim.name, "where": score.claim.where, "claim_verdict": score.verdict or "no trials"}
        for effect in score.effects:
            judged = effect.judgement
            yield {
                **claim,
                "preset": score.preset or "",
                "effect": effect.words,
                "measure": effect.measured,
                "table": effect.source.table.id,
                "published": _number(effect.published),
                **_of_estimate(effect.ours),
                **_of_outperforming(effect.higher),
                "test": "count" if score.claim.test == "count" else judged.test.kind if judged.test else "",
                "p": _p(judged.test.p if judged.test else None),
                "p_holm": _p(judged.p),
                "p_smaller": _p(judged.p_smaller),
                "over": _over(effect.videos) if judged.test else "",
                "verdict": judged.verdict or "",
                "command": effect.source.command,
            }


def leaderboard_columns(board: Leaderboard) -> tuple[str, ...]:
    """Those of every sweep, and one per parameter, by its setting's name."""
    names = sorted({name for one in board.ranked for name in one.parameters})
    return (
        "sweep", "line", "rank", "position", "row", *names, "seed", "trial", "outcome", "reason",
        "objective", "mean", "low", "high", "seeds", "seeds_asked", "chance", "test_mean", "test_low", "test_high",
        "behind_mean", "behind_low", "behind_high", "p", "told_apart", "seconds", "seconds_alone",
        *((*(metric for metric, _ in board.objective.further), "front") if board.objective.further else ()),
    )  # fmt: skip


def leaderboard_lines(board: Leaderboard) -> Iterator[Line]:
    """A line per configuration, the best first, and behind each one a line per trial of it, whose `mean` is its own number.

    Numbers of fractions are percent; of other objectives as they are.
    """
    unbeaten = {one.position for one in front(board)} if board.objective.further else set()
    for rank, one in enumerate(board.ranked, start=1):
        place = {"sweep": board.sweep, "rank": rank, "position": one.position, "row": one.label or "", **one.parameters}
        place |= {"objective": board.objective.metric, "chance": _number(one.chance)}
        used, alone = one.seconds
        yield {
            **place,
            "line": "configuration",
            **_of_estimate(one.objective),
            "seeds_asked": one.asked,
            **_prefixed("test", one.test),
            **_prefixed("behind", one.behind),
            "p": _p(one.p),
            "told_apart": "best" if one is board.best else "" if one.p is None else "yes" if one.is_behind else "no",
            "seconds": f"{used:.1f}",
            "seconds_alone": f"{alone:.1f}",
            **_of_further(board, one, unbeaten),
        }
        reached, on_test = (values_of(one.records, name) for name in (board.objective.metric, board.objective.on_test))
        for record in one.records:
            times = record.seconds.values()
            used, saved = sum(time.used for time in times), sum(time.saved for time in times)
            yield {
                **place,
                "line": "trial",
                "seed": record.seed,
                "trial": record.trial,
                "outcome": record.outcome,
                "reason": record.reason or "",
                "mean": _number(reached.get(record.seed)),
                "test_mean": _number(on_test.get(record.seed)),
                "seconds": f"{used:.1f}",
                "seconds_alone": f"{used + saved:.1f}",
            }


def _of_further(board: Leaderboard, one: Ranked, unbeaten: Collection[int]) -> dict[str, object]:
    """What a configuration reached by the further objectives, and whether it is on the front of all of them."""
    values = objectives_of(one, board)
    if not board.objective.further or values is None:
        return {}
    metrics = [metric for metric, _ in board.objective.further]
    return {**dict(zip(metrics, values[1:], strict=True)), "front": "yes" if one.position in unbeaten else "no"}


def _prefixed(name: str, value: Estimate | None) -> dict[str, object]:
    bounds = {f"{name}_{key}": number for key, number in _of_estimate(value).items()}
    return {key: number for key, number in bounds.items() if key != f"{name}_seeds"}


def _of_table(table: PaperTable, number: int, group: Group | None) -> dict[str, object]:
    if group is None:
        return {"table": table.id}
    return {
        "table": table.id,
        **_of_group(number, group),
        "comparable": "" if table.networks else "yes" if is_comparable(table, group) else "no",
        "recipe": group.settings.get("recipe", ""),
        "backbone": backbone_of(group),
    }


def _of_group(number: int, group: Group) -> dict[str, object]:
    data = " ".join(f"{used.name}={used.data.dataset}:{used.data.fingerprint}" for used, _ in group.roles_of_sets)
    return {
        "group": number,
        "preset": group.preset,
        "protocol": group.protocol,
        "protocol_version": group.version,
        "data": data,
        "missing_videos": group.missing_videos,
    }


def _of_cell(row: PublishedRow, cell: Cell) -> dict[str, object]:
    published = {"published": _number(cell.published)}
    if row.quoted:
        return {**published}
    fields = {**published, **_of_estimate(cell.estimate), "seeds_asked": cell.asked}
    return fields | dict(zip(("splits", "splits_asked"), cell.splits or (), strict=False))


def _of_effect(effect: Effect, seen: Sensitivity | None) -> dict[str, object]:
    ours = {f"effect_{name}": value for name, value in _of_estimate(effect.ours).items()}
    fields = {"against": effect.reference.label, "effect_published": _number(effect.published), **ours}
    judged = effect.judgement
    if test := judged.test:
        fields |= {"test": test.kind, "statistic": _number(test.statistic), "p": _p(test.p), "over": _over(effect.videos)}
    fields |= {"p_holm": _p(judged.p), "p_smaller": _p(judged.p_smaller), **_of_outperforming(effect.higher)}
    if seen is not None:
        needed = seen.seeds_needed(effect.published) if effect.published else None
        fields |= {"detectable": _number(seen.detectable), "seeds_needed": "" if needed is None else needed}
    return {**fields, "verdict": judged.verdict or ""}


def _of_outperforming(value: Outperforming | None) -> dict[str, object]:
    if value is None:
        return {}
    low, high = value.interval
    return {"higher": _number(value.probability), "higher_low": _number(low), "higher_high": _number(high)}


def _over(videos: VideoError | None) -> str:
    return "seeds and videos" if videos else "seeds"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _of_estimate(value: Estimate | None) -> dict[str, object]:
    if value is None:
        return {"seeds": 0}
    low, high = value.interval or (None, None)
    return {"mean": _number(value.mean), "low": _number(low), "high": _number(high), "seeds": value.n}


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:.4f}"
