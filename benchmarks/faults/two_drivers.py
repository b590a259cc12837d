"""Two drivers, two sweeps of the same trials, one store, for so many minutes: everything is shared, nothing doubled, none lost.

Both are started at once, with two trials at a time each; when both have completed, both go on with one more seed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.faults import real, sweeps
from benchmarks.faults.figure import Figure, command

ROUNDS, SHORT = 30, None
NAMES = ("one", "two")


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: minutes."""
    problems: list[str] = []
    seeds = 0
    with tempfile.TemporaryDirectory(prefix="ag-", ignore_cleanup_errors=True) as scratch:  # Ray's sockets need short paths
        home = Path(scratch)
        runs = home / "runs"
        end = time.monotonic() + 60 * rounds
        published = real.Published(runs)
        while time.monotonic() < end and not problems:
            seeds += 1
            problems += _both(runs, seeds, published)
        problems += published.several_times() + [f"{path} is left" for path in sweeps.leftovers(runs)]
        complete = {name: [record["trial"] for record in sweeps.records(runs, name)] for name in NAMES}
        for name, trials in complete.items():
            problems += [f"{name}: {trial} recorded twice" for trial in set(trials) if trials.count(trial) > 1]
        together = set(complete["one"]) | set(complete["two"])
        if len(together) != 3 * seeds:
            problems.append(f"{len(together)} trials in both ledgers instead of {3 * seeds}")
        stages = len(published.seen)
    for problem in problems:
        print(f"problem: {problem}", flush=True)
    seen = f"{len(problems)} differences in {len(together)} trials, {stages} stages published"
    what = f"{rounds} minutes of two drivers, two sweeps, one store"
    asked = "nothing published twice, no record lost, both complete"
    return [Figure(what, seen, asked, not problems, command("two_drivers", rounds, seed))]


def _both(runs: Path, seeds: int, published: real.Published) -> list[str]:
    words = [
        sweeps.words(runs, "--trials", "3", "--seeds", str(seeds), "--concurrency", "2", settings=real.ALL_ROWS) for _ in NAMES
    ]
    named = [[*one, "--name", name] for one, name in zip(words, NAMES, strict=True)]
    first, second = (real.started(runs.parent / name, words=one) for name, one in zip(NAMES, named, strict=True))
    with first as one, second as two:
        real.wait(one, lambda: published.look() or (two.look() and None))
        real.wait(two, lambda: published.look())
        published.look()
        print(f"{seeds} seeds: exit codes {one.ended()} and {two.ended()}", flush=True)
        return [
            f"{name} ended with {running.ended()}: {running.said()[-1500:]}"
            for name, running in zip(NAMES, (one, two), strict=True)
            if running.ended() != 0
        ]
