"""Kill a sweep with -9 again and again, and compare what it ends with to an uninterrupted run.

    python benchmarks/interruptions.py --kills 5
    python benchmarks/interruptions.py --kills 5 --victim worker

`--victim driver` kills the command itself, which is then started again; `worker` kills one of its trial processes, after
which the sweep goes on by itself. Both runs start from empty directories. Prints one line per kill, then whether the ledgers
are equal (times aside) and every artifact's weights and metrics are the same bytes. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "data.embedded.train=6", "data.embedded.validation=3", "data.embedded.test=3", "evaluation.clips=3", "auxskd.epochs=2",
    "pretext.epochs=2", "finetune.epochs=3",
]  # fmt: skip


def command(runs: Path, trials: int) -> list[str]:
    values = [part for value in SMALL for part in ("--set", value)]
    sweep = ["--space", "temperatures", "--trials", str(trials), "--name", "interrupted", "--wandb", "offline"]
    return [sys.executable, str(ROOT / "harness" / "sweep.py"), *sweep, "--runs-dir", str(runs), *values]


def workers(driver: int) -> list[int]:
    """Processes below `driver` that run a trial."""
    parents = {}
    trials = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::ImplicitFunc"):
                trials.append(int(entry.name))
        except OSError:
            continue

    def below(process: int) -> bool:
        while process > 1 and process != driver:
            process = parents.get(process, 0)
        return process == driver

    return [process for process in trials if below(process)]


def interrupted_run(runs: Path, trials: int, kills: int, victim: str, longest: float) -> int:
    """Run the sweep to its end with up to `kills` kills at random moments; how many there were."""
    chance, done = random.Random(0), 0
    while True:
        process = subprocess.Popen(command(runs, trials), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if done >= kills:
                process.wait()
                break
            wait = chance.uniform(3, longest)
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                targets = [process.pid] if victim == "driver" else workers(process.pid)
                if targets:
                    os.kill(chance.choice(targets), signal.SIGKILL)
                    done += 1
                    print(f"kill {done}: {victim} after {wait:.1f} s; trials in the ledger: {len(ledger(runs))}", flush=True)
        if process.returncode >= 0:
            return done


def ledger(runs: Path) -> dict[str, dict[str, object]]:
    """The last record of every trial, without times."""
    path = runs / "interrupted" / "ledger.jsonl"
    records = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        record = json.loads(line)
        del record["seconds"], record["command"], record["ended"]
        records[record["trial"]] = record
    return records


def artifacts(runs: Path) -> dict[str, bytes]:
    """Content of every file of every artifact, times aside."""
    content = {}
    for path in sorted((runs / "store").glob("*/[0-9a-f]*/*")):
        data = path.read_bytes()
        if path.name == "done.json":
            data = json.dumps(json.loads(data)["metrics"]).encode()
        content[str(path.relative_to(runs))] = data
    return content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--victim", choices=["driver", "worker"], default="driver")
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--longest", type=float, default=25.0, help="seconds between two kills at most")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auxgraph-kills-") as scratch:
        whole, killed = Path(scratch, "whole"), Path(scratch, "killed")
        started = time.monotonic()
        subprocess.run(command(whole, arguments.trials), stdout=subprocess.DEVNULL, check=True)
        print(f"uninterrupted: {len(ledger(whole))} trials in {time.monotonic() - started:.0f} s", flush=True)
        kills = interrupted_run(killed, arguments.trials, arguments.kills, arguments.victim, arguments.longest)
        same_ledger = ledger(whole) == ledger(killed)
        same_artifacts = artifacts(whole) == artifacts(killed)
        print(
            f"{kills} kills; ledgers equal: {same_ledger}; {len(artifacts(whole))} files of artifacts equal: {same_artifacts}"
        )
        return 0 if same_ledger and same_artifacts and kills == arguments.kills else 1


if __name__ == "__main__":
    sys.exit(main())
