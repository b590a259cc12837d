"""The power is cut at random moments of a sweep on a disk of its own: ext4 in a loop file, whose unflushed data are dropped.

The file system is shut down at once, without its journal being flushed, and mounted again; the same command then goes on, until
the sweep has completed. After each cut everything that is there must be whole: artifacts, training states, ledger, sweep.json,
embedded clips; and what the program took for kept must be there. In the end all is as in an undisturbed sweep. Options of the
mount vary: by default ext4 helps programs that flush nothing before they rename, which here it does in one case of three.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults import forked, sweeps
from benchmarks.faults.disks import cut_disk
from benchmarks.faults.figure import Figure, command
from harness.ledger import FILE_NAME, Ledger, LedgerError, Record, read_records
from harness.trials import IDENTITY_FILE
from trainables.checksums import Mismatch, unsealed
from trainables.store import Artifact, DamagedArtifact, Workplace, artifacts
from trainables.store.state import saved_state

ROUNDS, SHORT = 200, 4
MOUNTED = ("", "commit=1,noauto_da_alloc", "commit=1,noauto_da_alloc,data=writeback")
"""How the disk is mounted: as usual; its journal written every second, with data not before; not even in order."""
CUTS_PER_SWEEP = 20


def noting(notes: Path) -> Callable[[], None]:
    """To be called in a process that is to note, on another disk, what it takes for kept."""

    def note(what: str) -> None:
        with notes.open("a") as file:
            file.write(f"{what}\n")

    append, publish = Ledger.append, Workplace.publish

    def noted_append(self: Ledger, record: Record) -> None:
        append(self, record)
        note(f"record {record.trial}")

    def noted_publish(self: Workplace, **content: Any) -> Artifact:
        artifact = publish(self, **content)
        note(f"artifact {artifact.kind}/{artifact.key}")
        return artifact

    def install() -> None:
        Ledger.append = noted_append  # type: ignore[method-assign]
        Workplace.publish = noted_publish  # type: ignore[method-assign]

    return install


def damages(runs: Path, clips: Mapping[str, bytes], kept: set[str]) -> Iterator[tuple[str, str]]:
    """Where something is not whole, or lost, and what. clips: of an undisturbed sweep. kept: what was noted."""
    there = set()
    for kind, artifact in artifacts(runs / "store"):
        there.add(f"artifact {kind}/{artifact.key}")
        try:
            artifact.verify()
        except DamagedArtifact as damage:
            yield "store", str(damage)
    for path in runs.glob("store/*/.*.work/*/"):
        try:
            if (state := saved_state(path)) is not None:
                state.load()
        except Mismatch as problem:
            yield "training state", f"{path} {problem}"
    ledger, identity = runs / sweeps.NAME / FILE_NAME, runs / sweeps.NAME / IDENTITY_FILE
    try:
        there |= {f"record {record.trial}" for record in (read_records(ledger) if ledger.exists() else ())}
    except LedgerError as problem:
        yield "ledger", str(problem)
    yield from (("lost", what) for what in sorted(kept - there))
    try:
        if identity.exists():
            unsealed(identity.read_bytes())
    except Mismatch as problem:
        yield "sweep.json", f"{problem}, {identity.stat().st_size} bytes"
    for name, content in _clips(runs).items():
        if content != clips.get(name):
            yield "embedded clips", f"{name}, {len(content)} of {len(clips.get(name, b''))} bytes"


def _clips(runs: Path) -> dict[str, bytes]:
    return {str(path.relative_to(runs)): path.read_bytes() for path in runs.glob("cache/embedded-*/**/[!.]*.*")}


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: cuts."""
    sweeps.prepare()
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    completed = done = 0
    with tempfile.TemporaryDirectory(prefix="auxgraph-cuts-") as scratch:
        home = Path(scratch)
        whole = sweeps.sweep(sweeps.words(home / "runs"), home / "output")
        expected, clips = sweeps.contents(home / "runs"), _clips(home / "runs")
        while done < rounds:
            place = home / str(completed)
            place.mkdir()
            options = MOUNTED[completed % len(MOUNTED)]
            notes, output = place / "notes", place / "output"
            with cut_disk(place, options) as disk:
                runs, cuts, code = disk.place / "runs", 0, None
                while code is None:
                    child = forked.start(sweeps.here(sweeps.words(runs), noting(notes)), output)
                    last = cuts == CUTS_PER_SWEEP or done == rounds
                    try:
                        code = forked.wait(child, sweeps.SECONDS if last else chance.uniform(0.0, 1.5) * whole.seconds)
                    finally:
                        if code is None:
                            forked.kill(child)
                    if code is not None or last:
                        break
                    kept = set(notes.read_text().splitlines()) if notes.exists() else set()
                    disk.cut()
                    done, cuts = done + 1, cuts + 1
                    for where, what in damages(runs, clips, kept):
                        found[where] += 1
                        print(f"cut {done} ({options or 'as usual'}): {where}: {what}", flush=True)
                wrong = sweeps.differences(expected, sweeps.contents(runs))
                if code or wrong:
                    found["result"] += 1
                    print(f"sweep {completed}: exit code {code}, {wrong}: {output.read_text()[-2000:]}", flush=True)
            completed += 1
    where = ", ".join(f"{name} {count}" for name, count in found.items())
    seen = f"{found.total()} damages{f' ({where})' if where else ''} after {done} cuts in {completed} sweeps"
    what = "power cuts (ext4 in a loop file) with any damage in store, ledger, sweep.json, embedded clips"
    return [Figure(what, seen, "0 of 200", not found.total(), command("power_cuts", rounds, seed))]
