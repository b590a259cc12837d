"""The watchdog: which limit it is set to after what is reported, and that what hangs ends with its stack on disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import watchdog
from harness.watchdog import Limits, Struck, Watchdog, struck

REPOSITORY = Path(__file__).resolve().parents[2]


class Clock:
    """In the place of time and faulthandler: time goes on when told to; `set_to` is in how many seconds it would strike."""

    def __init__(self, path: Path) -> None:
        self.now, self.set_to, self.path = 100.0, None, path

    def monotonic(self) -> float:
        return self.now

    def dump_traceback_later(self, seconds: float, **_: Any) -> None:
        self.set_to = seconds

    def cancel_dump_traceback_later(self) -> None:
        self.set_to = None

    @property
    def would_say(self) -> str:
        """The reason, if it struck now."""
        copy = self.path.with_suffix(".copy")
        copy.write_text(f"{self.path.read_text()}Timeout (0:00:01)!\n")
        stopped = struck(copy)
        assert stopped is not None
        return stopped.reason


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    clock = Clock(tmp_path / "stack")
    monkeypatch.setattr(watchdog, "time", clock)
    monkeypatch.setattr(watchdog, "faulthandler", clock)
    return clock


def tell(dog: Watchdog, clock: Clock, after: float = 0.0, taking: float = 0.0, **line: Any) -> None:
    """A report, so many seconds after the last, of which the driver takes note in so many."""
    clock.now += after
    with dog.told(line):
        assert clock.set_to is None, "it cannot strike while the driver is at it"
        clock.now += taking


def test_the_nearest_limit_is_set(clock: Clock) -> None:
    with Watchdog(Limits(stage=50, trial=100, stall=20), clock.path) as dog:
        assert (clock.set_to, clock.would_say) == (100, "stopped after 100 s (--trial-timeout)")
        tell(dog, clock, after=10, stage="pretext")
        assert (clock.set_to, clock.would_say) == (20, "pretext made no progress for 20 s (--stall-timeout)")
        tell(dog, clock, after=15, stage="pretext", epoch=1, epochs=3)
        tell(dog, clock, after=19, stage="pretext", batch=5, batches=8)
        assert clock.set_to == 16
        assert clock.would_say == "pretext (at batch 5 of 8) was stopped after 50 s (--stage-timeout)"
        tell(dog, clock, after=10, stage="pretext", made={})
        assert (clock.set_to, clock.would_say) == (46, "stopped after 100 s (--trial-timeout)")
        tell(dog, clock, after=30, stage="finetune")
        assert (clock.set_to, clock.would_say) == (16, "stopped after 100 s (--trial-timeout), in finetune")
    assert clock.set_to is None
    assert not clock.path.exists()


def test_waiting_for_others_and_for_the_driver_does_not_count(clock: Clock) -> None:
    with Watchdog(Limits(stage=50, trial=100, stall=20), clock.path) as dog:
        tell(dog, clock, after=30, taking=1000, note="waiting for pretext", waits="pretext")
        assert clock.set_to is None
        tell(dog, clock, after=1000, note="waiting for pretext", waits="pretext")
        assert clock.set_to is None
        tell(dog, clock, after=1000, stage="pretext", taking=1000)
        tell(dog, clock, after=5, stage="pretext", made={})
        assert clock.set_to == 65


def test_each_stage_has_its_own_time(clock: Clock) -> None:
    with Watchdog(Limits(stage=50), clock.path) as dog:
        assert clock.set_to is None
        for stage in ("pretext", "finetune"):
            tell(dog, clock, after=40, stage=stage)
            assert clock.set_to == 50
        tell(dog, clock, after=40, note="damaged frames")
        assert clock.set_to == 10


def test_a_limit_of_any_size_can_be_set(tmp_path: Path) -> None:
    with Watchdog(Limits(trial=1e300), tmp_path / "stack") as dog, dog.told({"stage": "pretext"}):
        pass


def test_without_limits_nothing_is_set_or_written(clock: Clock) -> None:
    with Watchdog(Limits(), clock.path) as dog:
        tell(dog, clock, stage="pretext")
        assert clock.set_to is None
        assert not clock.path.exists()


HANGING = {
    "in Python": "while True: pass",
    "in native code": "lock = __import__('threading').Lock(); lock.acquire(); lock.acquire()",
    "in native code that holds Python's lock": "__import__('ctypes').PyDLL(None).sleep(100)",
}


@pytest.mark.parametrize("hangs", HANGING.values(), ids=HANGING)
def test_what_hangs_ends_with_its_stack(hangs: str, tmp_path: Path) -> None:
    """In a thread, as Ray runs trials."""
    path = tmp_path / "stack"
    path.write_text("of an earlier trial")
    script = f"""
        import pathlib, threading
        from harness.watchdog import Limits, Watchdog

        def the_stage():
            {hangs}

        def trial():
            with Watchdog(Limits(stall=0.5, trial=60), pathlib.Path({str(path)!r})) as dog:
                with dog.told({{"stage": "finetune"}}):
                    pass
                the_stage()

        thread = threading.Thread(target=trial)
        thread.start()
        thread.join()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, timeout=60, check=False)
    assert done.returncode == 1
    stopped = struck(path)
    assert isinstance(stopped, Struck)
    assert (stopped.limit, stopped.stage, stopped.allowed) == ("stall", "finetune", 0.5)
    assert "in the_stage" in stopped.stack
    assert not path.exists(), "it is told once"


def write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize("left", [lambda path: None, write(""), write('{"limit": "stall"}\n')])
def test_a_worker_that_died_of_something_else_was_not_stopped(left: Callable[[Path], object], tmp_path: Path) -> None:
    left(tmp_path / "stack")
    assert struck(tmp_path / "stack") is None
    assert list(tmp_path.iterdir()) == []
