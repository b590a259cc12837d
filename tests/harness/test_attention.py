"""The thread that attends: signals and a lost cluster end work that hangs where no exception reaches it. Without Ray."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import attention
from harness.attention import ClusterLost, Doors, Stop, attend

REPOSITORY = Path(__file__).resolve().parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(attention, "LOST_SECONDS", 0.2)
    monkeypatch.setattr(attention, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(attention, "_left_behind", [])


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What work waits for that hangs as in Ray: no exception reaches a thread in there."""
    event = threading.Event()
    yield event
    event.set()


def closed_door() -> tuple[str, int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return "127.0.0.1", bound.getsockname()[1]


def test_what_the_work_raises_is_raised() -> None:
    def work() -> None:
        raise ZeroDivisionError("of the work")

    with pytest.raises(ZeroDivisionError, match="of the work"):
        attend(work, Stop(), Doors())
    attend(lambda: None, Stop(), Doors())


def test_a_cluster_that_does_not_answer_is_lost_though_the_work_hangs(hang: threading.Event) -> None:
    host, port = closed_door()
    stop = Stop()
    begin = time.monotonic()
    with pytest.raises(ClusterLost, match=f"the Ray cluster is lost: its head at {host}:{port} does not answer"):
        attend(hang.wait, stop, Doors(known={"its head": (host, port)}))  # type: ignore[arg-type]
    assert time.monotonic() - begin < 5
    with pytest.raises(ClusterLost):
        stop.check()


def test_a_cluster_that_dies_before_it_answers_is_lost_at_once(hang: threading.Event) -> None:
    with pytest.raises(ClusterLost, match="the Ray cluster is lost: its head died while it was starting"):
        attend(hang.wait, Stop(), Doors(unknown=lambda: "its head died while it was starting"))  # type: ignore[arg-type]


def test_work_that_hangs_at_its_own_end_is_left_behind(hang: threading.Event) -> None:
    """With what it had to say; without, it has ended well."""
    for error in (None, ZeroDivisionError("of the work")):
        stop = Stop(error=error, ends_by=time.monotonic() + 0.2)
        if error is None:
            attend(hang.wait, stop, Doors())  # type: ignore[arg-type]
        else:
            with pytest.raises(ZeroDivisionError):
                attend(hang.wait, stop, Doors())  # type: ignore[arg-type]


def test_a_cluster_that_answers_again_in_time_is_not_lost() -> None:
    """Two looks less than it takes to be lost, an answer, and once more."""
    answers = ([1] * (attention.MOST_UNANSWERED - 2) + [0]) * 2
    enough = threading.Event()

    class Fickle(Doors):
        def closed(self) -> str | None:
            if len(answers) == 1:
                enough.set()
            return "silent" if answers.pop(0) else None

    attend(enough.wait, Stop(), Fickle())  # type: ignore[arg-type]
    assert len(answers) <= 1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_the_work_which_may_come_to_an_orderly_end(number: signal.Signals) -> None:
    steps = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            while True:
                time.sleep(0.01)
        finally:
            time.sleep(0.1)
            steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        attend(work, Stop(), Doors())
    assert steps == ["ended"]


def test_a_signal_that_comes_where_nothing_can_be_raised_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    """As in a callback of the interpreter's: Python would print a traceback, and the signal would be lost."""

    class Callback:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), attention.interruptible():
        callback = Callback()
        del callback
        for _ in range(500):
            time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_books_are_kept_by_one_thread_at_a_time_and_by_none_once_they_are_closed() -> None:
    stop = Stop()
    with stop.booking():
        raise ValueError("of the bookkeeper")
    with pytest.raises(StopIteration), stop.booking(StopIteration):
        raise StopIteration
    with stop.booking():
        begin = time.monotonic()
        stop.close_books()  # is held: not waited for without end
        assert time.monotonic() - begin < 2
    with pytest.raises(RuntimeError, match="closed"), stop.booking():
        pytest.fail("books that are closed")
    with pytest.raises(ValueError, match="of the bookkeeper"):
        stop.check()


HANGS = """
import time
from harness import attention
def deaf():
    while True:
        try:
            print("begun", flush=True)
            time.sleep(60)
        except BaseException:
            pass
try:
    attention.attend(deaf, attention.Stop(end_seconds=0.1), attention.Doors())
except KeyboardInterrupt:
    print("flushed", end="")
    attention.leave(130)
print("never")
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_process_leaves_work_behind_that_hangs(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) in {(130, "flushed"), (130, "begun\nflushed")}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_sweep_is_planned_is_one_line_and_exit_code_130(tmp_path: Path, number: signal.Signals) -> None:
    space = tmp_path / "slow.py"
    space.write_text("import time\nprint('read', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "harness/sweep.py", "--space", str(space), "--plan"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    assert process.stdout.readline() == "read\n"
    process.send_signal(number)
    output, said = process.communicate(timeout=20)
    assert (process.returncode, output, said) == (130, "", "interrupted\n")
