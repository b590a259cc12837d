"""kill -9 of random processes of real sweeps at random moments, until they have completed; then they are compared.

The victims are the command itself, workers, processes that load clips, Ray's raylet and gcs_server, and W&B's process. What has
ended is started again by the same command. Compared with an undisturbed sweep are the ledger, every file of every artifact,
how often each was published, the W&B runs, and what is left of ours: processes, scratch directories, leases, unfinished work.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults import real, sweeps
from benchmarks.faults.figure import Figure, command

ROUNDS, SHORT = 40, None
VICTIMS = ("driver", "worker", "loader", "raylet", "gcs_server", "W&B")
KILLS_PER_SWEEP = 8
LONGEST_SECONDS = 15.0
"""Between two kills."""
RECOVERED_SECONDS = 30.0
RECOVERY_LIMIT = 120.0
OPTIONS = ("--trials", "3", "--concurrency", "2", "--workers", "1", "--wandb", "offline")
ENDS = ("driver", "raylet", "gcs_server")
"""Victims whose death ends the command."""


@dataclass
class Seen:
    """recoveries: seconds by victim. problems: in words. kills: by victim."""

    recoveries: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    def problem(self, said: str) -> None:
        self.problems.append(said)
        print(f"problem: {said}", flush=True)


def killed_sweep(runs: Path, kills: int, chance: random.Random, seen: Seen, published: real.Published) -> int:
    """Run a sweep to its end with so many kills at most; how many there were."""
    done = tries = 0
    while True:
        with real.started(runs, *OPTIONS) as running:
            while running.ended() is None and done < kills:
                due = time.monotonic() + chance.uniform(1.0, LONGEST_SECONDS)
                wanted = chance.choice(VICTIMS)
                real.wait(running, lambda due=due: published.look() or time.monotonic() > due)  # type: ignore[misc]
                victims = running.look().get(wanted) if running.ended() is None else None
                if not victims:  # not there at this moment: another one at another moment
                    continue
                victim = chance.choice(victims)
                started, killed_at = time.monotonic(), time.time()
                if not victim.kill():
                    continue
                done += 1
                seen.kills[wanted] += 1
                seconds = _recovery(running, wanted, killed_at, started, runs, published)
                seen.recoveries.setdefault(wanted, []).append(seconds)
                code = running.ended()
                how = "goes on" if code is None else f"ended with {code}"
                living = ", ".join(one.line[:90] for one in running.seen if code is not None and one.lives())
                print(f"kill {done}: {wanted}; {how} after {seconds:.1f} s{f'; alive: {living}' if living else ''}", flush=True)
                if code is not None and wanted != "driver" and not _is_recorded(runs):
                    seen.problem(f"after the death of {wanted} exit code {code} and no record of what was running")
            real.wait(running, lambda: published.look())
            code = running.ended()
            published.look()
            if left := running.left():
                seen.problem(f"{len(left)} processes live on after the command: {', '.join(one.line[:80] for one in left)}")
            if code == 0:
                return done
            tries += 1
            if code == 2 or tries > kills + 1:
                seen.problem(f"exit code {code}: {running.said()[-1000:]}")
                return done


def _recovery(
    running: real.Command, victim: str, killed_at: float, started: float, runs: Path, published: real.Published
) -> float:
    """Seconds until the command has ended, with all its processes that do anything, or something has been written again."""
    end = started + RECOVERY_LIMIT
    while time.monotonic() < end:
        published.look()
        if running.ended() is None:
            running.look()
            if victim not in ENDS and real.newest(runs) > killed_at:
                break
        elif not any(one.lives() and not one.is_idle_agent() for one in running.seen):
            break
        time.sleep(real.POLL_SECONDS)
    return time.monotonic() - started


def _is_recorded(runs: Path) -> bool:
    """Whether whatever had begun has a record."""
    return bool(sweeps.records(runs)) or not real.in_training(runs)


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: kills in all."""
    typed = command("kills", rounds, seed)
    chance, seen, done, several = random.Random(seed), Seen(), 0, 0
    with tempfile.TemporaryDirectory(prefix="ag-", ignore_cleanup_errors=True) as scratch:  # Ray's sockets need short paths
        home = Path(scratch)
        begun = time.monotonic()
        with real.started(home / "whole" / "runs", *OPTIONS) as whole:
            real.wait(whole)
            if whole.ended() != 0:
                raise RuntimeError(f"an undisturbed sweep ended with exit code {whole.ended()}: {whole.said()}")
            whole.left()
        expected = sweeps.contents(home / "whole" / "runs")
        wandb = real.wandb_runs(home / "whole" / "runs")
        print(f"undisturbed: {len(expected)} files and records in {time.monotonic() - begun:.0f} s", flush=True)
        while done < rounds and several < rounds:
            several += 1
            runs = home / f"{several}" / "runs"
            published = real.Published(runs)
            done += killed_sweep(runs, min(KILLS_PER_SWEEP, rounds - done), chance, seen, published)
            for problem in (*sweeps.problems(runs, expected), *published.several_times()):
                seen.problem(f"sweep {several}: {problem}")
            if (ids := real.wandb_runs(runs)) != wandb:
                seen.problem(f"sweep {several}: W&B runs {sorted(ids)} instead of {sorted(wandb)}")
            if left := sorted(path.name for path in (runs.parent / "tmp").glob("auxgraph-*")):
                seen.problem(f"sweep {several}: scratch directories are left: {', '.join(left)}")
    kills = ", ".join(f"{victim} {count}" for victim, count in seen.kills.items())
    slowest = {victim: max(times) for victim, times in seen.recoveries.items()}
    times = ", ".join(f"{victim} {seconds:.0f} s" for victim, seconds in slowest.items())
    fast = bool(slowest) and max(slowest.values()) <= RECOVERED_SECONDS
    return [
        Figure(
            "random kills until a difference (ledger, bytes of artifacts, times each was published, W&B runs, leftovers)",
            f"{len(seen.problems)} differences in {several} sweeps with {done} kills ({kills})",
            f"{ROUNDS} kills without",
            not seen.problems and done >= rounds,
            typed,
        ),
        Figure("death of any component to a clean end or recovery, at the longest", times, "<= 30 s", fast, typed),
    ]
