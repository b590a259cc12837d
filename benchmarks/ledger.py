"""Reading a ledger of ten thousand records: seconds, and the memory that they take.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --records 100000 --seeds 1

A record is as long as one of preset demo; each configuration has a temperature of its own. Seconds are of the
process, the least of five readings; memory is what a process holds that has read it once, beyond what it held before.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness.ledger import FILE_NAME, Record, Seconds, line_of, read_records
from trainables.presets import preset
from trainables.settings import flat

STAGES = ("auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval")
METRICS, READINGS, MEGA = 12, 5, 1e6
"""Of a stage; of a ledger."""


def record(number: int, seeds: int) -> Record:
    index = number // seeds
    varied = {"auxskd.student_temperature": 0.01 + index / 1e6}
    data = {"dataset": "embedded", "fingerprint": "8ca762c791d77b24", "classes": 8, "train": 160, "validation": 64, "test": 80}
    return Record(
        trial=f"{number:010x}",
        index=index,
        row=None,
        space="temperatures",
        preset="demo",
        parameters=varied,
        settings=flat(preset("demo")) | varied,
        data={role: data | {"missing": 0, "skipped": {}, "duplicates": 0} for role in ("pretraining", "downstream")},
        seed=number % seeds,
        stages=dict.fromkeys(STAGES, f"{number:016x}"),
        metrics={f"{stage}/metric_{which}": (number + which) / 7 for stage in STAGES for which in range(METRICS)},
        seconds={stage: Seconds(used=number / 3, saved=0.0) for stage in STAGES},
        outcome="complete",
        reason=None,
        code=dict.fromkeys(STAGES, "1a22e89028ddc9d4 (commit 6e9018c36bf2)"),
        ended="2026-01-01T00:00:00+00:00",
        versions={"protocol": "1", "torch": "2.0.0", "device": "cpu", "node": "one"},
        command="python harness/sweep.py --space temperatures",
    )


def read(path: Path) -> float:
    """Seconds of the process."""
    begun = time.process_time()
    read_records(path)
    return time.process_time() - begun


def held() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MEGA


def main(
    records: Annotated[int, typer.Option(min=1)] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="Of every configuration.")] = 5,
    once: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write a ledger and read it."""
    if once is not None:
        before = held()
        kept = read_records(once)
        print(held() - before if kept else 0.0)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / FILE_NAME
        with path.open("wb") as file:
            for number in range(records):
                file.write(line_of(record(number, seeds)))
        size = path.stat().st_size
        seconds = min(read(path) for _ in range(READINGS))
        command = [sys.executable, str(Path(__file__).resolve()), "--once", str(path)]
        memory = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"{records:,} records of {size / records / 1000:.1f} kB, of {seeds} seeds: read in {seconds:.2f} s, {memory:.0f} MB")


if __name__ == "__main__":
    typer.run(main)
