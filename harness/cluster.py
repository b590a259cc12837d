"""The Ray cluster of a sweep: one that is started on this machine for it, or one at an address; and where it answers."""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import dataclass, field
from pathlib import Path

import ray

import psutil  # isort: skip  # comes with Ray

from harness.attention import Doors
from harness.trials import SweepError

ADDRESS_SECONDS = 10.0
"""How long a cluster's head may take to accept a connection."""
OBJECT_STORE_BYTES = 100 * 2**20
RAY = str(Path(ray.__file__).parent)


@dataclass
class Cluster:
    """The cluster at an address, or one on this machine. doors: where it answers, once it is connected to."""

    address: str | None
    doors: Doors = field(default_factory=Doors)
    processes: list[psutil.Process] = field(default_factory=list)

    def connect(self, concurrency: int, gpus_per_trial: float) -> None:
        """Connect to it, or start it. Raises SweepError for an address without Ray."""
        logging.getLogger("ray").setLevel(logging.ERROR)
        if self.address is None:
            ray.init(
                address="local",
                num_cpus=concurrency,
                num_gpus=None if gpus_per_trial else 0,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        else:
            try:
                _require_listener(self.address)
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, OverflowError, RuntimeError, ValueError) as error:
                said = " ".join(str(error).split())
                raise SweepError(f"--address {self.address}: no Ray cluster there: {said}") from None
        self.processes = _started_processes()
        self.doors.known = _doors()

    def end_processes(self) -> None:
        """End what is left of a cluster on this machine, also where Ray cannot be asked any more."""
        for process in {*self.processes, *_started_processes()}:
            with contextlib.suppress(psutil.Error):
                process.kill()


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
    return {"its head (gcs_server)": (host.strip("[]"), int(port)), "this node's raylet": raylet}


def _require_listener(address: str) -> None:
    """Raises OSError unless something listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), ADDRESS_SECONDS).close()
