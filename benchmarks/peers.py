"""The same trials by what a user would do instead of a sweep: a shell loop, xargs, plain Optuna, stock Ray Tune.

    python benchmarks/peers.py
    python benchmarks/peers.py --trials 4 --rounds 3

The trials are configurations of space `temperatures`, which have no stage in common, as all of them begin with auxSKD: preset
`demo` with fewer clips and epochs, so that one takes some ten seconds of a core, its start included. Nothing is shared: each of
the peers' trials has a store of its own. *Loop*: `python` for one after the other. *Xargs*: `xargs -P`. *Optuna*: processes
with one study in a journal file. *Tune*: `tune.Tuner`. All of these call the function of a trial; *sweep* is
`harness/sweep.py`. As many run at once as `--at-once` says, but for the loop. The last two sides are xargs and the sweep with
trials that differ in finetuning's rate alone, so that all could have the same pretraining: what sharing saves.

Clips are generated and decoded before. Each side is a command, timed from its start to its end, reports included, in a fresh
directory; sides take turns. CPU time is that of all its processes, read every 0.1 s. The script ends with an error unless
all sides give the same metrics, to the last digit. W&B is off, and Ray's workers run at the priority of everything else
(`RAY_worker_niceness=0`; stock is 15, which tells on a machine with other work only). On two idle cores 7 minutes a round.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show
from benchmarks.processes import adopt_orphans, descendants, seconds_computed
from harness.ledger import Ledger
from harness.positions import named_configurations
from search_spaces.space import Space, Suggest, find_space
from trainables.data import open_data
from trainables.presets import configure
from trainables.runtime import Runtime, cores

ROOT = Path(__file__).resolve().parents[1]
PRESET = "demo"
CHANGES: dict[str, Any] = {
    "data.embedded.train": 8,
    "data.embedded.validation": 4,
    "data.embedded.test": 4,
    "data.labelled_share": 1.0,
    "auxskd.epochs": 1,
    "pretext.epochs": 4,
    "finetune.epochs": 4,
    "evaluation.clips": 10,
}
RATE = "finetune.learning_rate"
MOST_TRIALS = 25


def _suggest(trial: Suggest) -> dict[str, Any]:
    return {RATE: trial.suggest_float(RATE, 1e-4, 1e-1, log=True)}


RATES = Space(
    name="rates",
    summary="rates of finetuning: all trials share their pretraining",
    base={"recipe": "auxskd_pretext", "pretext.task": "vspp"},
    rows=(),
    suggest=_suggest,
    grid=lambda: [{RATE: 1e-3 * 1.2**number} for number in range(MOST_TRIALS)],
)
APART, SHARING = "temperatures", "benchmarks.peers:RATES"
PERIOD = 0.1
PROGRAM = "from benchmarks.peer_trials import"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
Metrics = dict[str, float]


def main(
    trials: Annotated[int, typer.Option(min=1, max=MOST_TRIALS)] = 10,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    at_once: Annotated[int | None, typer.Option(min=1, help="trials at once; default: one per core")] = None,
) -> None:
    """Run the trials by every side and compare the times."""
    many = at_once or cores()
    adopt_orphans()
    computed: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        place = Place(Path(scratch), trials, many)
        place.fill_cache()
        peers = {"loop": place.loop, "xargs": place.xargs, "Optuna": place.optuna, "Tune": place.tune}
        sides: dict[str, Callable[[], float]] = {}
        for name, command in peers.items():
            sides[name] = place.side(name, APART, command, computed)
        sides["sweep"] = place.side("sweep", APART, place.sweep, computed)
        sides["xargs, shareable"] = place.side("xargs, shareable", SHARING, place.xargs, computed)
        sides["sweep, sharing"] = place.side("sweep, sharing", SHARING, place.sweep, computed)
        seconds = alternate(sides, rounds)
    title = f"{trials} trials, {many} at once, {rounds} rounds; ratio: the sweep's time over this"
    show("peers", title, figures(seconds, computed), trials=trials, rounds={"wall": seconds, "computed": computed})


def figures(seconds: Mapping[str, Sequence[float]], computed: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Times on the wall and of all processes, with the ratio of the sweep's to each."""
    found = []
    for name in seconds:
        ours = "sweep, sharing" if name.startswith("xargs, ") else "sweep"
        compared = None if name.startswith("sweep") else ours
        for what, times in (("wall", seconds), ("computed", computed)):
            ratio = median_ratio(times[compared], times[name]) if compared else None
            bound = 1.1 if name == "xargs" and what == "wall" else None
            found.append(Figure(f"{name}, {what}", statistics.median(times[name]), "s", ratio, bound))
    return found


def differing(told: Mapping[str, Sequence[Metrics]]) -> list[str]:
    """In words, what is not the same to the last digit on all sides: told by side, for each trial. Seconds are left out."""
    (first, reference), *others = told.items()
    words = []
    for name, metrics in others:
        if len(metrics) != len(reference):
            words.append(f"{len(metrics)} trials by {name}, {len(reference)} by {first}")
        for number, (mine, theirs) in enumerate(zip(reference, metrics, strict=False)):
            words += [
                f"trial {number}, {metric}: {mine.get(metric)!r} by {first}, {theirs.get(metric)!r} by {name}"
                for metric in sorted(mine.keys() | theirs.keys())
                if not metric.endswith("seconds") and mine.get(metric) != theirs.get(metric)
            ]
    return words


class Place:
    """Where the sides run: a directory for each time, and clips that all of them read."""

    def __init__(self, scratch: Path, trials: int, at_once: int) -> None:
        self.scratch = scratch
        self.trials = trials
        self.at_once = at_once
        self.cache = scratch / "cache"
        self.times = 0
        self.told: dict[str, dict[str, list[Metrics]]] = {}

    def fill_cache(self) -> None:
        settings = configure(PRESET, CHANGES)
        runtime = Runtime(self.scratch / "store", self.cache, device="cpu")
        for videos in open_data(settings.data, runtime).values():
            everything = [*videos.train, *videos.validation, *videos.test]
            runtime.open_cache(settings.data.cache_format).fill(everything, (settings.video.height, settings.video.width))

    def side(
        self, name: str, space: str, command: Callable[[str, Path], list[str]], computed: dict[str, list[float]]
    ) -> Callable[[], float]:
        """Runs a command that computes the space's trials: seconds on the wall; those of its processes go into `computed`."""

        def run() -> float:
            self.times += 1
            folder = self.scratch / f"side{self.times}"
            folder.mkdir()
            wall, busy = timed_command(command(space, folder), folder)
            computed.setdefault(name, []).append(busy)
            told = self.told.setdefault(space, {})
            told[name] = self._results(folder)
            if words := differing(told):
                raise RuntimeError("\n".join(words[:20]))
            return wall

        return run

    def loop(self, space: str, folder: Path) -> list[str]:
        self._write(space, folder)
        program = f"{sys.executable} -c '{PROGRAM} command; command()'"
        return ["sh", "-ec", f"for file in *.json; do {program} $file; done"]

    def xargs(self, space: str, folder: Path) -> list[str]:
        self._write(space, folder)
        program = f"{sys.executable} -c '{PROGRAM} command; command()'"
        return ["sh", "-ec", f"ls *.json | xargs -n 1 -P {self.at_once} {program}"]

    def optuna(self, space: str, folder: Path) -> list[str]:
        return self._python("plain_optuna", space, folder)

    def tune(self, space: str, folder: Path) -> list[str]:
        return self._python("stock_tune", space, folder)

    def sweep(self, space: str, folder: Path) -> list[str]:
        (folder / "cache").symlink_to(self.cache)
        chosen = [word for name, value in CHANGES.items() for word in ("--set", f"{name}={value}")]
        options = ["--search", "grid", "--trials", str(self.trials), "--concurrency", str(self.at_once), "--wandb", "disabled"]
        command = [sys.executable, str(ROOT / "harness" / "sweep.py"), "--space", space, "--preset", PRESET]
        return [*command, *options, *chosen, "--name", "peers", "--runs-dir", str(folder)]

    def _python(self, function: str, space: str, folder: Path) -> list[str]:
        self._write(space, folder)
        call = f"{function}(Path('{folder}'), {self.at_once}, '{find_space(space).objective}')"
        return [sys.executable, "-c", f"from pathlib import Path; {PROGRAM} {function}; {call}"]

    def _write(self, space: str, folder: Path) -> None:
        """A file for each trial."""
        found = find_space(space)
        for number, one in enumerate(named_configurations(found, grid=True)[: self.trials]):
            settings = configure(PRESET, {**found.base, **CHANGES, **one.parameters})
            asked = {"settings": settings.model_dump(mode="json"), "seed": 0, "cache": str(self.cache)}
            (folder / f"{number:03d}.json").write_text(json.dumps(asked))

    def _results(self, folder: Path) -> list[Metrics]:
        records = Ledger(folder / "peers").records()
        if records:
            return [record.metrics for record in sorted(records, key=lambda record: record.index)]
        return [json.loads(file.read_text()) for file in sorted(folder.glob("*.result"))]


def timed_command(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds on the wall of a command in a folder, and those that it and all processes below it computed.

    Raises RuntimeError if it fails.
    """
    spent: dict[tuple[Path, int], float] = {}
    _look(spent)
    before = sum(spent.values())
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **ENVIRONMENT}, cwd=folder)
        while not _has_ended(process.pid):
            _look(spent)
            time.sleep(PERIOD)
        wall = time.perf_counter() - begin
        _look(spent)
        if process.wait():
            said.seek(0)
            raise RuntimeError(f"{shlex.join(command)}: exit code {process.returncode}\n{said.read()[-3000:]}")
    return wall, sum(spent.values()) - before


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it stays to be waited for, and to be looked at until then."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _look(spent: dict[tuple[Path, int], float]) -> None:
    for process in descendants():
        with suppress(OSError):
            started, seconds = seconds_computed(process)
            spent[process, started] = seconds


if __name__ == "__main__":
    typer.run(main)
