"""The Ray cluster of a sweep: one that is started on this machine for it, or one at an address; and where it answers.

Whoever reaches a cluster can run code on it. One that is started here listens on loopback only, and wants a token that is made
for it and lies in the sweep's scratch directory. At an address the user's token counts, which Ray looks for, and this project's
code is brought along.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._private.node import Node
from ray.exceptions import AuthenticationError

import psutil  # isort: skip  # comes with Ray

from harness.attention import MOST_UNANSWERED, MOST_UNANSWERED_HERE, ClusterLost, Doors
from harness.trials import SweepError

ADDRESS_SECONDS = 10.0
"""How long a cluster's head may take to accept a connection."""
OBJECT_STORE_BYTES = 100 * 2**20
RAY = str(Path(ray.__file__).parent)
PACKAGES = ("harness", "search_spaces", "trainables")
"""What workers import of this project, which nodes of a cluster at an address need not have installed."""
TOKEN = secrets.token_hex(32)
"""Of clusters that this process starts: one for all, as Ray remembers it."""
TOKEN_FILE = "token"
ESSENTIAL = {"gcs_server": "its head (gcs_server)", "raylet": "this node's raylet"}
"""Processes without which there is no cluster, and what they are."""
REFUSED = "InvalidAuthToken"
"""What Ray's log says of a token that is missing or wrong."""


@dataclass
class Cluster:
    """The cluster at an address, or one on this machine. doors: where it answers, once it is connected to."""

    address: str | None
    doors: Doors = field(init=False)
    processes: list[psutil.Process] = field(default_factory=list)
    starting: dict[str, psutil.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.address is None:
            self.doors = Doors(MOST_UNANSWERED_HERE, unknown=self._died_at_the_start)
        else:
            self.doors = Doors(MOST_UNANSWERED)

    def _died_at_the_start(self) -> str | None:
        """What Ray would wait for, up to a minute, and then end this process."""
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.name() in ESSENTIAL:
                    self.starting.setdefault(child.name(), child)
        dead = [name for name, process in self.starting.items() if _is_dead(process)]
        return f"{ESSENTIAL[dead[0]]} died while Ray was starting" if dead else None

    def let_go(self) -> None:
        """It is closed from here on: nothing need answer any more."""
        self.doors.unknown = lambda: None
        self.doors.known = {}

    def connect(self, cpus: int, gpus_per_trial: float, scratch: Path) -> None:
        """Connect to it, or start it with so many CPUs; its token then lies in `scratch`.

        Raises SweepError for an address without Ray, or whose Ray wants another token than the user's, and ClusterLost where
        none can be started here.
        """
        logging.getLogger("ray").setLevel(logging.ERROR)
        if self.address is None:
            _start(cpus, gpus_per_trial, scratch)
        else:
            _join(self.address)
        self.processes = _started_processes()
        self.doors.known = _doors()

    def end_processes(self) -> None:
        """End what is left of a cluster on this machine, also where Ray cannot be asked any more."""
        for process in {*self.processes, *_started_processes()}:
            with contextlib.suppress(psutil.Error):
                process.kill()


def _start(cpus: int, gpus_per_trial: float, scratch: Path) -> None:
    with os.fdopen(os.open(scratch / TOKEN_FILE, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(TOKEN)
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(scratch / TOKEN_FILE)
    try:
        with _on_loopback(), _without_helpers():
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=None if gpus_per_trial else 0,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
    except Exception as error:  # in its various ways
        raise ClusterLost(f"Ray could not be started on this machine: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray takes 127.0.0.1 as a node's address only where it believes that there are no clusters, as on macOS."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


HELPERS: tuple[tuple[Any, str, Any], ...] = (
    (Node, "start_monitor", None),
    (Node, "start_log_monitor", None),
    (services, "start_api_server", ("", None)),
)
"""What starts a process of Ray's that a sweep on one machine has no use for, and what it gives where none is started: what adds
nodes, what passes on workers' logs, and the server of a dashboard."""


@contextlib.contextmanager
def _without_helpers() -> Iterator[None]:
    """Ray starts no `HELPERS`, of which two are waited for, one as it starts and one as it ends, a second each. Those that
    another version of Ray does not have under these names it starts."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in HELPERS if hasattr(owner, name)]
    for owner, name, gives in HELPERS:
        if hasattr(owner, name):
            setattr(owner, name, lambda *_, _gives=gives, **__: _gives)
    try:
        yield
    finally:
        for owner, name, starts in before:
            setattr(owner, name, starts)


def nodes_at(address: str) -> list[Mapping[str, float]]:
    """The resources of each living node of the cluster at an address. Raises SweepError as `connect` does.

    Asked by a process of its own, as a second session of Ray in one process is not sound.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(_nodes_at, address).result()
        except BrokenExecutor:
            raise SweepError(f"--address {address}: Ray ended the process that asked for the cluster's nodes") from None


def _nodes_at(address: str) -> list[Mapping[str, float]]:
    _join(address)
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def places(nodes: Iterable[Mapping[str, float]], gpus_per_trial: float, most: int) -> tuple[int, int]:
    """How many trials run at once on such nodes, at least one, and how many cores each has on the node with the fewest.

    most: of trials on the cores of a node, where they have no GPUs.
    """
    found = []
    for node in nodes:
        cpus = int(node.get("CPU", 0))
        at_once = min(cpus, int(node.get("GPU", 0) / gpus_per_trial) if gpus_per_trial else most)
        if at_once:
            found.append((at_once, cpus // at_once))
    return max(1, sum(at_once for at_once, _ in found)), min((cores for _, cores in found), default=1)


def _join(address: str) -> None:
    refused: list[str] = []
    try:
        _require_listener(address)
        with _taken_from_stderr(REFUSED, refused):
            code = [str(Path(__file__).resolve().parents[1] / package) for package in PACKAGES]
            ray.init(address=address, runtime_env={"py_modules": code}, log_to_driver=False, logging_level=logging.ERROR)
    except (AuthenticationError, OSError, OverflowError, RuntimeError, ValueError) as error:
        if isinstance(error, AuthenticationError) or refused:
            has = "has another one" if refused and os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else "shows none"
            raise SweepError(
                f"--address {address}: this Ray cluster wants a token, and this command {has}: set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN_PATH to a file with the cluster's token (or RAY_AUTH_TOKEN to the token)"
            ) from None
        raise SweepError(f"--address {address}: no Ray cluster there: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def _taken_from_stderr(sign: str, taken: list[str]) -> Iterator[None]:
    """Takes lines with a sign from what is written to standard error, also by Ray's C++, and lets others pass."""
    reading, writing = os.pipe()
    stderr = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)

    def pass_on() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if sign in (text := line.decode(errors="replace")):
                    taken.append(text)
                else:
                    os.write(stderr, line)

    passing = threading.Thread(target=pass_on, daemon=True)
    passing.start()
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        passing.join(1)
        if not passing.is_alive():
            os.close(stderr)


def _started_processes() -> list[psutil.Process]:
    """Ray's processes that this one has started, directly or not."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(RAY in part for part in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def _doors() -> dict[str, tuple[str, int]]:
    """Where the cluster's head and this node's part of it answer."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())  # type: ignore[no-untyped-call]
    raylet = here["NodeManagerAddress"], here["NodeManagerPort"]
    return {ESSENTIAL["gcs_server"]: (host.strip("[]"), int(port)), ESSENTIAL["raylet"]: raylet}


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _require_listener(address: str) -> None:
    """Raises OSError unless something listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), ADDRESS_SECONDS).close()
