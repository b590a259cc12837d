"""How a worker ended, by what Ray 2.60 says of it (seen by ending workers so) and by its log."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from harness import deaths
from harness.deaths import Worker, death_of

DIED = "The actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n\tpid: 6592\n\tip: 192.0.2.2\n"
PROCESS = f"{DIED}The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
BROKEN = (
    f"{PROCESS}Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed "
    "unexpectedly due to SIGSEGV or another unexpected error."
)
EXIT = f"{PROCESS}Worker exits unexpectedly. Worker exits with an exit code 3."
TERM = f"{PROCESS}Worker exits unexpectedly. Worker exits with an exit code 1. The process receives a SIGTERM."
UNAVAILABLE = (
    "The actor bb7a is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed rpc_code: 14. The "
    "task may or may not have been executed on the actor."
)
MEMORY = (
    "Failure # 1 (occurred at 2026-11-30_09-37-09)\n1 worker(s) were killed due to the node running low on memory. Memory on "
    "the node (IP: 192.0.2.2, ID: 4a54) was 7.78GB used / 23.54GB limit (0.330580)\nOOM kill reason: Memory usage exceeded"
)
KILLED = "killed (SIGKILL; as the system does when memory is short)"

SHORT = "ended by Ray, as its node was short of memory (7.78GB used / 23.54GB)"


def worker(log: str = "", node: str = "far-away") -> Worker:
    return Worker(node, "0abc", 6592, log, 0)


@pytest.mark.parametrize(
    ("message", "how"), [(BROKEN, KILLED), (EXIT, "exit code 3"), (TERM, "ended by SIGTERM"), (MEMORY, SHORT), ("?", "?")]
)
def test_signal_or_exit_code_are_named_and_where_the_log_lies(message: str, how: str) -> None:
    death = death_of(message, worker("/tmp/ray/worker.err"), {"0abc"})
    assert (death.how, death.of_node) == (f"{how}: process 6592 on far-away, log /tmp/ray/worker.err", False)
    assert death_of(message, None, {"0abc"}).how == how


def test_a_worker_whose_node_went_is_not_to_blame() -> None:
    assert death_of(BROKEN, worker(), {"0def"}).of_node
    assert not death_of(BROKEN, worker(), {"0abc", "0def"}).of_node
    assert death_of(UNAVAILABLE, worker(), {"0def"}).of_node
    assert death_of(UNAVAILABLE, None, {"0def"}).of_node, "before it told where it was"
    assert death_of(UNAVAILABLE, worker(), {"0abc"}).how.startswith("no contact with it any more: process 6592 on far-away")
    assert death_of(f"{DIED}The actor died because its node has died. Node Id: 0abc", None, {"0def"}).of_node


def test_a_crash_is_named_by_the_log_of_this_machine_which_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "worker.err"
    log.write_text(f"{'x' * 50_000}\nFatal Python error: Segmentation fault\n\nThread 0x1\n  File 'a.py', line 1 in crash\n")
    death = death_of(BROKEN, worker(str(log), platform.node()), {"0abc"})
    assert death.how.startswith("SIGSEGV: process 6592 on ")
    assert death.log.endswith("in crash\n")
    assert len(death.log) < 30_000
    assert death_of(BROKEN, worker(str(log)), {"0abc"}).how.startswith(KILLED), "a path of another machine"


def test_the_system_s_own_killings_are_known_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "oom_kills", lambda: 1)
    here = death_of(BROKEN, worker(node=platform.node()), {"0abc"})
    assert here.how.startswith("killed (SIGKILL; the system was short of memory and ended processes): process 6592")
    assert death_of(BROKEN, worker(), {"0abc"}).how.startswith(KILLED), "known of this machine only"
