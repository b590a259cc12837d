"""By what a search goes: `--objective METRIC=DIRECTION`, and which metrics the trials of a sweep will have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from harness.halving import Rungs
from harness.ledger import EVALUATIONS, HOURS, Record, is_fraction
from harness.request import RequestError
from search_spaces.space import Direction
from trainables.settings import TEACHER_TASKS, ExperimentSettings
from trainables.suggestions import did_you_mean

if TYPE_CHECKING:
    from trainables.pipeline import Stage

COSTS = (HOURS, "compression/")
"""How names of objectives begin of which less is better."""
ACCURACIES = ("top1", "top5", "map")
OF_TRAINING = ("loss", "val_", "health_")
"""How metrics of a training stage begin, after its name, where none of its kind is on record."""


def parse_objective(text: str) -> tuple[str, Direction]:
    """`METRIC`, whose direction is told by what it is, or `METRIC=DIRECTION`. Raises RequestError."""
    metric, equals, said = text.partition("=")
    if not equals and not is_fraction(metric) and not metric.startswith(COSTS):
        raise RequestError(f"--objective {text}: say whether more of it is better: {metric}=maximize or {metric}=minimize")
    valid = get_args(Direction)
    direction = next((one for one in valid if one == said), None) if equals else None
    if not metric or (equals and direction is None):
        raise RequestError(f"--objective {text}: expected METRIC=DIRECTION, DIRECTION one of {', '.join(valid)}")
    return metric, direction or ("minimize" if metric.startswith(COSTS) else "maximize")


def check_objectives(
    objectives: Iterable[str], name: str, stages: Sequence[Stage], settings: ExperimentSettings, records: Iterable[Record]
) -> None:
    """Raises RequestError for one that the stages of a configuration will not report. name: of it; records: any on record."""
    known = set(_results(stages, settings))
    training = {stage.kind for stage in stages if stage.declared.schedule is not None}
    for record in records:
        known |= {metric for metric in record.metrics if metric.partition("/")[0] in {stage.kind for stage in stages}}
    several = [""] + [f"/{one}" for one in settings.data.downstream_sets]
    for objective in objectives:
        kind, _, rest = objective.partition("/")
        seen = any(metric.startswith(f"{kind}/") for metric in known)
        may_be = kind in training and not seen and rest.startswith(OF_TRAINING)
        if may_be or any(objective == f"{metric}{of}" for metric in known for of in several):
            continue
        valid = sorted(known | {f"{one}/loss" for one in training})
        raise RequestError(
            f"--objective {objective}: no stage of {name} reports it{did_you_mean(objective, valid)}; valid: {', '.join(valid)}"
        )


def check_rungs(rungs: Rungs, name: str, stages: Sequence[Stage]) -> None:
    """Raises RequestError where a configuration cannot be compared at these rungs. name: of it."""
    group = rungs.setting.rpartition(".")[0]
    trained = [stage for stage in stages if stage.declared.schedule == group]
    if not trained:
        valid = sorted({f"{stage.declared.schedule}.epochs" for stage in stages if stage.declared.schedule})
        raise RequestError(
            f"--rungs {rungs.setting}: no stage of {name} trains by it{did_you_mean(rungs.setting, valid)}; valid: "
            f"{', '.join(valid)}"
        )
    for stage in trained:
        if stage.epochs != rungs.epochs[-1]:
            raise RequestError(
                f"--rungs {rungs.setting}: {name} trains {stage.epochs} epochs, so the last rung is {stage.epochs}, not "
                f"{rungs.epochs[-1]}; --set {rungs.setting}={rungs.epochs[-1]} changes the training"
            )
        if stage.course is None:
            why = "its task knows where the training ends" if stage.declared.knows_end else f"{group}.schedule is cosine"
            raise RequestError(
                f"--rungs {rungs.setting}: stage {stage.name} of {name} cannot go on from a shorter training, as {why}; "
                "valid are rungs of a stage with a step schedule"
            )


def _results(stages: Sequence[Stage], settings: ExperimentSettings) -> Iterator[str]:
    """What stages without a schedule tell of validation videos, and of what a trial costs."""
    from trainables.stages.retrieval import NEIGHBOURS

    yield HOURS
    for kind in dict.fromkeys(stage.kind for stage in stages):
        if kind in EVALUATIONS:
            yield from (f"validation/{accuracy}" for accuracy in ACCURACIES)
        elif kind == "linear_probe":
            yield "validation/linear_probe_top1"
        elif kind == "retrieval":
            yield from (f"validation/retrieval_r{k}" for k in NEIGHBOURS)
        elif kind.endswith("_views"):
            yield from (f"validation/{kind.removesuffix('_views')}_{accuracy}" for accuracy in ACCURACIES)
        elif kind == "compression":
            for network in (*TEACHER_TASKS, "student"):
                yield from (f"compression/{network}_{one}" for one in ("parameters", "flops", "latency", "peak_memory"))
