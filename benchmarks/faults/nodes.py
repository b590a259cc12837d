"""Nodes of a Ray cluster are killed while a sweep runs there, and others join; it must end as one without a cluster.

Each node is a raylet of its own on this machine with a core for one trial; the head has none. One node lacks a package that
trials need. The others are killed one after the other at random moments, with all their processes, and a new one joins for
each. Compared with a sweep that ran without `--address` are the ledger, every file of every artifact, and what is left over.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.faults import real, sweeps
from benchmarks.faults.figure import Figure, command

ROUNDS, SHORT = 10, None
KILLS_PER_SWEEP = 3
LONGEST_SECONDS = 20.0
"""Between two kills."""
START_SECONDS = 90.0
STARTED = "Ray runtime started."
"""What `ray start` says once a node is part of its cluster."""
OPTIONS = ("--trials", "3")
LACKS = "safetensors"
"""The package that one node has not."""
OBJECT_STORE_BYTES = 100 * 2**20
Node = subprocess.Popen[bytes]


class Cluster:
    """A head without cores at `address`, and nodes. environment: with which a command is let in."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.started: list[Node] = []

    def start(self) -> None:
        """The head."""
        self._start("--head", "--port", self.address.rpartition(":")[2], "--num-cpus", "0", "--include-dashboard", "false")

    def add(self, **environment: str) -> Node:
        """A node with a core."""
        return self._start("--address", self.address, "--num-cpus", "1", **environment)

    def kill(self, node: Node) -> None:
        """At once, with everything that it has started."""
        for one in (*real.below(node.pid), real.process(node.pid)):
            if one is not None:
                one.kill(signal.SIGKILL)
        node.wait()

    def close(self) -> None:
        for node in reversed(self.started):
            self.kill(node)

    def _start(self, *options: str, **environment: str) -> Node:
        """Raises RuntimeError where it has not started in time."""
        ray = ("ray", "start", *options, "--node-ip-address", "127.0.0.1", "--temp-dir", str(self.scratch / "ray"), "--block")
        said = self.scratch / f"node-{len(self.started)}.txt"
        with said.open("wb") as file:
            node = subprocess.Popen(
                [*ray, "--object-store-memory", str(OBJECT_STORE_BYTES)],
                cwd=self.scratch,
                env=_plain() | self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(node)
        end = time.monotonic() + START_SECONDS
        while STARTED not in said.read_text(errors="replace"):
            if node.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"a node has not started: {said.read_text(errors='replace')[-2000:]}")
            time.sleep(real.POLL_SECONDS)
        return node


def _plain() -> dict[str, str]:
    """The environment, in which nothing says where the project's code is."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("RAY_")}


@contextlib.contextmanager
def cluster_at(scratch: Path) -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    scratch.mkdir(parents=True)
    cluster = Cluster(scratch)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def lacking(scratch: Path) -> Mapping[str, str]:
    """The environment of a node on which a package cannot be imported."""
    (scratch / "lacks").mkdir()
    (scratch / "lacks" / f"{LACKS}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{LACKS}'\")\n")
    return {"PYTHONPATH": str(scratch / "lacks")}


def killed_sweep(home: Path, kills: int, chance: random.Random) -> tuple[int, list[str]]:
    """A sweep on a cluster of which so many nodes are killed, if it runs for as long: how many were, and what went wrong."""
    runs, done = home / "runs", 0
    with cluster_at(home / "cluster") as cluster:
        nodes = [cluster.add(), cluster.add()]
        cluster.add(**lacking(home))
        options = (*OPTIONS, "--address", cluster.address)
        with real.started(runs, *options, environment=cluster.environment) as running:
            while done < kills:
                real.wait(running, lambda: real.in_training(runs))
                due = time.monotonic() + chance.uniform(0, LONGEST_SECONDS)
                real.wait(running, lambda due=due: time.monotonic() > due)  # type: ignore[misc]
                if running.ended() is not None:
                    break
                cluster.kill(nodes.pop(chance.randrange(len(nodes))))
                nodes.append(cluster.add())
                done += 1
                print(f"kill {done}: {running.said().splitlines()[-1]}", flush=True)
            real.wait(running)
            said = running.said()
    if running.ended() != 0:
        notes = [line for line in said.splitlines() if line.startswith(("note: ", "error: "))]
        return done, [f"exit code {running.ended()}: {' '.join(notes) or said[-1000:]}"]
    left_out = [line for line in said.splitlines() if line.endswith("it is left out")]
    return done, [line for line in left_out if LACKS not in line]


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: kills in all."""
    chance, done, count, problems = random.Random(seed), 0, 0, list[str]()
    with tempfile.TemporaryDirectory(prefix="ag-", ignore_cleanup_errors=True) as scratch:  # Ray's sockets need short paths
        home = Path(scratch)
        with real.started(home / "0" / "runs", *OPTIONS, "--concurrency", "2") as whole:
            real.wait(whole)
            if whole.ended() != 0:
                raise RuntimeError(f"an undisturbed sweep ended with exit code {whole.ended()}: {whole.said()}")
        expected = sweeps.contents(home / "0" / "runs")
        while done < rounds and count < rounds:
            count += 1
            place = home / str(count)
            place.mkdir()
            kills, found = killed_sweep(place, min(KILLS_PER_SWEEP, rounds - done), chance)
            done += kills
            found += sweeps.problems(place / "runs", expected)
            print(f"sweep {count}: {kills} nodes killed; {'; '.join(found) or 'equal'}", flush=True)
            problems += found
    seen = f"{len(problems)} in {count} sweeps with {done} nodes killed"
    what = "differences of a sweep from one without a cluster, while nodes are killed and join, and one lacks a package"
    return [Figure(what, seen, "0", not problems and done >= rounds, command("nodes", rounds, seed))]
