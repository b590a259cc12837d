"""Tiny sweeps in a directory of their own, what two of them have to have in common, and what must not be left of one.

`sweep` is the whole command in a forked process, its trials run one after the other in it and not by Ray: a second or two. What
the suite does to Ray's own processes is done to real sweeps (benchmarks/faults/real.py).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.faults import forked
from harness import bookkeeper, command_line, executor, hindrances, summary
from harness.bookkeeper import Bookkeeper
from search_spaces.space import find_space
from trainables.pipeline import Experiment, resolve
from trainables.presets import configure
from trainables.video.embedded import CLASSES
from trainables.video.videos import VideoSet

NAME, SPACE = "tiny", "recipes"
"""Of the sweep."""
SETTINGS: dict[str, Any] = {
    "compute.guard": "off",  # networks of four channels die of some seeds, which is none of what is asked here
    "recipe": "auxskd_pretext",
    "data.embedded.classes": 6,
    "data.embedded.train": 1,
    "data.embedded.validation": 1,
    "data.embedded.test": 1,
    "data.embedded.frames": 12,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
    "data.labelled_share": 1.0,
    "video.clip_frames": 8,
    "video.height": 16,
    "video.width": 16,
    "video.crop": 12,
    "backbone.depth": 10,
    "backbone.width": 4,
    "auxskd.epochs": 2,
    "auxskd.batch_size": 3,
    "auxskd.memory_bank": 16,
    "auxskd.projection": 4,
    "auxskd.predictor_hidden": 4,
    "pretext.epochs": 2,
    "pretext.batch_size": 3,
    "pretext.clips_per_video": 1,
    "pretext.validation_clips": 1,
    "pretext.checkpoints": 1,
    "finetune.epochs": 2,
    "finetune.batch_size": 3,
    "frozen.clips": 1,
    "evaluation.clips": 1,
    "evaluation.measures": "[finetune, retrieval]",
}
"""A trial of about a second."""
IMPORTED = (
    "harness.planner",
    "harness.driver",
    "harness.bookkeeper",
    "trainables.recipes",
    "trainables.checks",
    "av",
    "decord",
)
"""What a forked process would import each time."""
SECONDS = 120.0
"""After which a tiny sweep counts as one that never ends."""
PAUSE = 0.02
TIMES = ("seconds", "ended", "command", "seal")
"""Of a record what may differ between two runs of the same trial, and what covers that."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. code: negative for a signal. said: its output. seconds: how long it ran."""

    code: int
    said: str
    seconds: float


def words(runs: Path, *options: str, space: str = SPACE, settings: Mapping[str, Any] = SETTINGS) -> list[str]:
    """The command's words after `auxgraph sweep` or `harness/sweep.py`. One trial and no W&B, unless options say otherwise."""
    values = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    words = ["--space", space, "--name", NAME, "--runs-dir", str(runs), *values, *options]
    words += [] if "--trials" in options else ["--trials", "1"]
    return words if "--wandb" in options else [*words, "--wandb", "disabled"]


def prepare() -> None:
    """Import and remember what forked processes need. Nothing may be trained before: torch does not go on in a fork."""
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    values = {name: yaml.safe_load(str(value)) for name, value in SETTINGS.items()}
    nothing = VideoSet("embedded", CLASSES, (), (), ())
    experiment = Experiment(configure("demo", {**find_space(SPACE).base, **values}), seed=0)
    for stage in resolve(experiment, {"pretraining": nothing, "downstream": nothing}):
        stage.code  # noqa: B018  is remembered: half of the time of a command that finds everything


def here(arguments: Sequence[str], before: Callable[[], None] = lambda: None) -> Callable[[], int]:
    """The command, to be given to `forked`. before: is called in its process first."""

    def do() -> int:
        sys.argv = ["auxgraph", "sweep", *arguments]
        executor.run_trials = _trials_here  # type: ignore[assignment]
        summary._report = lambda *_: None  # a process that reads the ledger and shows it, for a second
        executor.this_node = lambda: {"node": platform.node(), "node_id": ""}
        hindrances.FIRST_PAUSE = hindrances.LOOK_SECONDS = bookkeeper.RETRY_SECONDS = PAUSE
        before()
        command_line.app()
        return 0

    return do


def sweep(arguments: Sequence[str], output: Path, before: Callable[[], None] = lambda: None) -> Ended:
    """Run it to its end. output: a file that it appends to; what this run said of it is given."""
    start, size = time.monotonic(), output.stat().st_size if output.exists() else 0
    code = forked.run(here(arguments, before), output, SECONDS)
    return Ended(code, output.read_bytes()[size:].decode(errors="replace"), time.monotonic() - start)


def _trials_here(books: Bookkeeper, **_: Any) -> None:
    """`executor.run_trials` without Ray."""
    try:
        while not books.is_complete():
            config = books.next(NAME)
            if config is None:
                time.sleep(PAUSE)
                continue
            last: dict[str, Any] = {}

            def report(line: dict[str, Any], last: dict[str, Any] = last) -> None:
                if "outcome" in line:
                    last.update(line)
                else:
                    books.reported(NAME, line)

            executor.tune.report = report  # type: ignore[attr-defined,assignment]
            books.started(NAME)
            executor.run_trial({**config, "open_sets": {}, "preflight": None})
            books.ended(NAME, last)
    except BaseException:
        books.interrupt()
        raise


def records(runs: Path, name: str = NAME) -> list[dict[str, Any]]:
    """What the ledger says, in its order; a last line that was torn by a crash is none."""
    path = runs / name / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def contents(runs: Path, name: str = NAME) -> dict[str, bytes]:
    """Everything that has to be the same in two runs of a sweep, by what it is: the last record of each trial and its history,
    what the sweep is, and every file of every artifact, all without times."""
    found: dict[str, bytes] = {}
    for record in records(runs, name):
        kept = {key: value for key, value in record.items() if key not in TIMES}
        found[f"record {record['trial']}"] = json.dumps(kept, sort_keys=True).encode()
    for path in sorted((runs / name / "histories").glob("[!.]*")):
        found[f"history {path.stem}"] = path.read_bytes()
    for path in sorted((runs / "store").glob("[!.]*/[!.]*/*")):
        content = path.read_bytes()
        if path.name == "done.json":
            content = json.dumps(json.loads(content)["metrics"]).encode()
        found[str(path.relative_to(runs))] = content
    identity = runs / name / "sweep.json"
    found["sweep.json"] = identity.read_bytes() if identity.exists() else b""
    return found


def differences(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """What is not the same, in words."""
    said = [f"{name}: missing" for name in sorted(expected.keys() - found.keys())]
    said += [f"{name}: not in the other" for name in sorted(found.keys() - expected.keys())]
    return said + [f"{name}: differs" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]


def leftovers(runs: Path) -> list[str]:
    """What a completed sweep must not leave below its directory: leases, unfinished work, temporary files."""
    patterns = ("store/*/.*.lease*", "store/*/.*.work", "**/.*.new", "store/.writable-*")
    return sorted({str(path.relative_to(runs)) for pattern in patterns for path in runs.glob(pattern)})


def problems(runs: Path, expected: Mapping[str, bytes]) -> Iterator[str]:
    """How a completed sweep differs from an undisturbed one, in words: contents, records written twice, what is left."""
    yield from differences(expected, contents(runs))
    complete = [record["trial"] for record in records(runs) if record["outcome"] == "complete"]
    yield from (f"trial {trial} is recorded as complete twice" for trial in sorted(set(complete)) if complete.count(trial) > 1)
    yield from (f"{path} is left" for path in leftovers(runs))


def owned_by(path: Path) -> int:
    """Bytes of the files below."""
    return sum(os.lstat(one).st_size for one in path.rglob("*") if one.is_file())
