"""Smoke test of preset `paper`: every kind of stage of both papers for a few steps at full size, and whether it lives.

    python benchmarks/smoke.py --runs-dir /tmp/smoke
    python benchmarks/smoke.py --runs-dir /tmp/smoke --only pretext --set pretext.task=rspnet
    python benchmarks/smoke.py --runs-dir /tmp/smoke --table

Networks, losses and rates are those of preset `paper`; what it has otherwise is that there are few videos, one epoch of 20
steps or fewer, one or two clips of a video where there are ten and more, and batches that a CPU gets through; `--set` has other
numbers, and `--paper-batches` the paper's batches, for a GPU. Stages run as in a trial (`run_stage`), each in a process of its
own, out of and into the store in `--runs-dir`; one that is there is not run again, so the whole may be run in pieces. Where a
stage dies those that need it cannot run: `--set` has a rate with which it lives.

Written to `smoke.jsonl` as it goes, and shown by `--table`: loss and gradient norm of the first step and of the last, seconds
of a step (median), the most memory that the process held, and at the end of the stage the share of ReLU units that are dead.
Some hours on one core.
"""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from benchmarks.training import given, stages_of, workplace_of
from search_spaces.paper_tables import table_rows
from trainables.pipeline import Stage, run_stage
from trainables.presets import configure, preset
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat, parse_assignment
from trainables.stages import training
from trainables.stages.memory import most_held

GRAPH = {row.label: dict(row.parameters) for row in table_rows("graph/table2") if row.label.endswith("ucf101")}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    **{task: {"recipe": "pretext", "pretext.task": task} for task in ("video_pace", "vcop", "rspnet")},
    "auxskd": {"recipe": "auxskd_pretext"},
    "labels": {"recipe": "student"},
    **{label.partition(" -> ")[0]: values for label, values in GRAPH.items()},
    "compression": {"recipe": "distillation", "evaluation.measures": ["compression"]},
}
"""Together they have every kind of stage; of the rows of graph distillation's Table 2, all."""

CLASSES, VIDEOS, SHARE = 6, 1, 1 / 3
"""Of the embedded clips; videos of a class, for training; the share of them that self-supervised stages see."""
FEW = {
    "data.embedded.classes": CLASSES,
    "data.embedded.validation": 1,
    "data.embedded.test": 1,
    "data.pretraining": "embedded",
    "data.pretraining_share": SHARE,
    "data.downstream": "embedded",
    "evaluation.clips": 2,
    "frozen.clips": 1,
    "views.views": 1,
}
STEPS, LONGER, TAUGHT = 20, 4, 8
"""Of a stage; of one with a 3D backbone, PredNet or VGG, whose steps take ten seconds; of a student with teachers, whose
steps are its epochs here, as it sees one view of each video in each."""
BATCHES = {
    "auxskd": (2, LONGER),
    "pretext": (2, LONGER),
    "finetune": (3, LONGER),
    "sorting": (2, 2),
    "ego_motion": (2, LONGER),
    "tracking": (2, LONGER),
    "teacher_finetune": (2, 3),
    "prediction": (2, LONGER),
    "student": (24, STEPS),
}
"""Group of settings -> samples of a batch and steps, on a CPU."""
LABELLED = ("finetune", "teacher_finetune", "student")
"""Those that see all training videos."""


def main(
    runs_dir: Annotated[Path, typer.Option(help="where store and figures lie")],
    only: Annotated[list[str] | None, typer.Option(help="stages that are run, and what they need; repeatable")] = None,
    of: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(EXPERIMENTS)}; repeatable")] = None,
    set_values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting; repeatable")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    paper_batches: Annotated[bool, typer.Option("--paper-batches", help="the paper's batches, 20 steps of each")] = False,
    table: Annotated[bool, typer.Option("--table", help="show what was found so far, and run nothing")] = False,
) -> None:
    """Run the stages of preset paper for a few steps."""
    figures = runs_dir / "smoke.jsonl"
    if table:
        print("\n".join(_table([json.loads(line) for line in figures.read_text().splitlines()])))
        return
    if unknown := sorted(set(of or ()) - EXPERIMENTS.keys()):
        raise typer.BadParameter(f"--of {unknown[0]}: valid are {', '.join(EXPERIMENTS)}")
    runs_dir.mkdir(parents=True, exist_ok=True)
    runtime = Runtime(runs_dir / "store", runs_dir / "cache", device=device)
    changes = dict(map(parse_assignment, set_values or []))
    dead: set[str] = set()
    for name in of or EXPERIMENTS:
        settings = configure("paper", {**EXPERIMENTS[name], **_small(name, paper_batches), **changes})
        for stage in _wanted(settings, runtime, only):
            if stage.key in dead or workplace_of(stage, runtime).target.exists():
                continue
            if any(source.key in dead for source in stage.upstream()):
                print(f"{name}: {stage.name} needs what died")
                continue
            found = _in_own_process(stage.name, settings, runtime)
            dead |= {stage.key} if found["outcome"] != "finite" else set()
            line = {"of": name, "stage": stage.name, **found, "batch": _batch(stage, settings), "set": changes}
            with figures.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(_row(line), flush=True)


def _small(experiment: str, paper_batches: bool) -> dict[str, Any]:
    """Few videos, and so many clips of them that an epoch has the steps that are wanted."""
    usual = flat(preset("paper"))
    sizes = {group: (usual[f"{group}.batch_size"], STEPS) for group in BATCHES} if paper_batches else BATCHES
    is_taught = EXPERIMENTS[experiment]["recipe"] == "distillation"
    per_class = math.ceil(sizes["student"][0] / CLASSES) if is_taught and paper_batches else VIDEOS
    values: dict[str, Any] = {**FEW, "data.embedded.train": per_class}
    for group, (batch, steps) in sizes.items():
        videos = CLASSES * per_class * (1 if group in LABELLED else SHARE)
        clips = math.ceil(batch * steps / videos)
        values |= {f"{group}.batch_size": batch, f"{group}.epochs": 1, f"{group}.clips_per_video": clips}
        values |= {f"{group}.validation_clips": 1} if f"{group}.validation_clips" in usual else {}
    if is_taught:
        batch = min(sizes["student"][0], CLASSES * per_class)
        values |= {"student.batch_size": batch, "student.epochs": TAUGHT, "student.clips_per_video": 1}
    return values


def _wanted(settings: ExperimentSettings, runtime: Runtime, only: list[str] | None) -> Iterator[Stage]:
    stages = stages_of(settings, runtime)
    named = [stage for name, stage in stages.items() if not only or name in only]
    needed = {upstream.key for stage in named for upstream in stage.upstream()}
    yield from (stage for stage in stages.values() if stage.key in needed)


def _in_own_process(name: str, settings: ExperimentSettings, runtime: Runtime) -> dict[str, Any]:
    """So that the most memory is this stage's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run, name, settings.model_dump(), runtime).result()


def _run(name: str, values: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """What the stage gave, step by step, and how it ended."""
    settings = ExperimentSettings.model_validate(values)
    stage = stages_of(settings, runtime)[name]
    work = given(stage, settings, runtime)
    steps: list[tuple[float, float, float]] = []
    training.train_step = functools.partial(_watched, training.train_step, steps)
    begin = time.perf_counter()
    try:
        metrics = dict(run_stage(stage, work).done["metrics"])
        outcome = "finite"
    except Exception as error:  # whatever ends a stage is what is to be shown
        metrics, outcome = {}, f"{type(error).__name__}: {str(error).splitlines()[0]}"
    losses, norms, seconds = zip(*steps, strict=True) if steps else ((), (), ())
    return {
        "steps": len(steps),
        "loss": [losses[0], losses[-1]] if steps else None,
        "norm": [norms[0], norms[-1]] if steps else None,
        "step_seconds": statistics.median(seconds) if steps else None,
        "seconds": time.perf_counter() - begin,
        "bytes": most_held(work.device),
        "metrics": metrics,
        "outcome": outcome,
    }


def _watched(train_step: Any, steps: list[tuple[float, float, float]], *given: Any) -> Any:
    """The step itself; its loss, its gradient's norm and its seconds are noted."""
    begin = time.perf_counter()
    loss, metrics = train_step(*given)
    steps.append((float(loss), float(metrics["gradient_norm"]), time.perf_counter() - begin))
    return loss, metrics


def _batch(stage: Stage, settings: ExperimentSettings) -> list[int] | None:
    """Samples of a batch, here and in the paper."""
    group = stage.declared.schedule
    if group is None:
        return None
    return [flat(where)[f"{group}.batch_size"] for where in (settings, preset("paper"))]


def _table(lines: list[dict[str, Any]]) -> list[str]:
    head = ["stage", "of", "steps", "batch (paper's)", "loss", "gradient norm", "s a step", "s in all", "GB", "dead units", ""]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *map(_row, lines)]


def _row(line: Mapping[str, Any]) -> str:
    def between(pair: list[float] | None) -> str:
        return " to ".join(f"{value:.3g}" for value in pair) if pair else ""

    changed = ", ".join(f"`{name}={value}`" for name, value in line["set"].items())
    batch = "" if line["batch"] is None else f"{line['batch'][0]} ({line['batch'][1]})"
    dead = next((f"{value:.0%}" for name, value in line["metrics"].items() if name.endswith("/health_dead")), "")
    cells = [
        line["stage"] + (f" with {changed}" if changed else ""),
        line["of"],
        line["steps"] or "",
        batch,
        between(line["loss"]),
        between(line["norm"]),
        "" if line["step_seconds"] is None else f"{line['step_seconds']:.1f}",
        f"{line['seconds']:.0f}",
        f"{line['bytes'] / 1e9:.1f}",
        dead,
        line["outcome"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    typer.run(main)
