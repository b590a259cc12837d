"""Leases: suspended holders lose and adopt, clocks change nothing, waiting is told, and failing disks are named."""

from __future__ import annotations

import builtins
import errno
import io
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.store import Artifact, Holder, LeaseLost, Store, StoreError, Workplace, directory, leases

KIND, KEY = "finetune", "0123456789abcdef"
fork = multiprocessing.get_context("fork")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a second."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(directory, "POLL_SECONDS", 0.1)


def suspended_in_finetuning(experiment: Experiment, place: Runtime, log: Path, stop: bool, winner_waits: Any) -> None:
    """Run it, and stop this process once at the end of the first finetuning epoch, or wait there until told to go on."""

    def report(line: dict[str, Any]) -> None:
        if line.get("stage") == "finetune" and "epoch" in line:
            with log.open("a") as file:
                file.write(f"{stop} {line['epoch']}\n")
            if stop and line["epoch"] == 1 and log.read_text().count("True 1") == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            if not stop and winner_waits is not None:
                winner_waits.wait(30)

    result = run_experiment(experiment, place, report)
    with log.open("a") as file:
        file.write(f"{stop} ended {result.metrics['validation/top1']!r}\n")


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("winner_is_done", [True, False])
def test_a_process_suspended_past_its_lease_ends_with_the_artifact_of_the_other(
    tiny: ExperimentSettings,
    runtime: Callable[..., Runtime],
    contents: Callable[..., dict[str, bytes]],
    tmp_path: Path,
    short: None,
    winner_is_done: bool,
) -> None:
    """Two processes, one of them stopped by a signal; it wakes up when the other has published, or while it still computes."""
    experiment, place, log = Experiment(tiny, 0), runtime("store"), tmp_path / "log"
    undisturbed = run_experiment(experiment, runtime("undisturbed"), lambda line: None)
    go_on = None if winner_is_done else fork.Event()
    loser = fork.Process(target=suspended_in_finetuning, args=(experiment, place, log, True, None))
    winner = fork.Process(target=suspended_in_finetuning, args=(experiment, place, log, False, go_on))
    loser.start()
    until(lambda: stopped(loser.pid))  # type: ignore[arg-type]
    winner.start()
    if winner_is_done:
        winner.join(60)
    else:
        until(lambda: "False 2" in log.read_text())
    os.kill(loser.pid, signal.SIGCONT)  # type: ignore[arg-type]
    if go_on is not None:
        time.sleep(1)
        go_on.set()
    for child in (winner, loser):
        child.join(60)
        assert child.exitcode == 0
    lines = log.read_text().splitlines()
    assert f"True ended {undisturbed.metrics['validation/top1']!r}" in lines
    assert f"False ended {undisturbed.metrics['validation/top1']!r}" in lines
    assert "False 1" not in lines, "the successor went on from the state of the one it replaced"
    assert contents(place.store, undisturbed) == contents(runtime("undisturbed").store, undisturbed)
    left = [path.name for path in (place.store / "finetune").iterdir() if path.suffix != ".course"]
    assert left == [undisturbed.stages["finetune"]]


def take_over(store: Store) -> None:
    """Replace the marker of whoever holds the lease, as a contender does that saw it lapse."""
    path = leases.lease_path(store.directory / KIND / KEY)
    path.unlink()
    lease = leases.Lease(store.directory / KIND / KEY)
    assert lease.acquire(0)
    store.others = lease  # type: ignore[attr-defined]


@pytest.mark.parametrize("action", ["save_state", "keep", "publish"])
def test_who_lost_the_lease_writes_nothing(store: Store, publish: Callable[..., Artifact], action: str) -> None:
    with (
        pytest.raises(LeaseLost, match=f"{KIND}/{KEY} was taken over by process {os.getpid()}"),
        store.claim(KIND, KEY) as claimed,
    ):
        assert isinstance(claimed, Workplace)
        claimed.save_state({"epoch": 1})
        before = sorted(path.name for path in claimed.directory.iterdir())
        take_over(store)
        try:
            if action == "save_state":
                claimed.save_state({"epoch": 2})
            elif action == "keep":
                claimed.keep("weights-1", {})
            else:
                publish(store, workplace=claimed)
        finally:
            assert sorted(path.name for path in claimed.directory.iterdir()) == before
            assert store.find(KIND, KEY) is None


def test_who_lost_the_lease_gets_what_the_other_published(store: Store, publish: Callable[..., Artifact]) -> None:
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        take_over(store)
        other = Workplace(store, KIND, KEY, store.others)  # type: ignore[attr-defined]
        winner = other.publish(settings={}, metrics={"validation/top1": 0.75})
        assert claimed.publish(settings={}, metrics={"validation/top1": 0.25}) == winner
    assert winner.done["metrics"] == {"validation/top1": 0.75}


def test_a_rename_onto_a_whole_artifact_adopts_it_and_onto_a_damaged_one_sets_that_aside(
    store: Store, publish: Callable[..., Artifact]
) -> None:
    """As when the lease is lost between the last look at it and the rename."""
    first = publish(store)
    assert Workplace(store, KIND, KEY).publish(settings={}, metrics={"other": 1}).done["metrics"] == first.done["metrics"]
    (first.directory / "done.json").unlink()
    second = Workplace(store, KIND, KEY).publish(settings={}, metrics={"other": 1})
    assert second.done["metrics"] == {"other": 1}
    assert sorted(path.name for path in (store.directory / KIND).iterdir()) == [f".damaged-{KEY}-1", KEY]


def hold(place: Path, ready: Any, done: Any) -> None:
    with Store(place).claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        ready.set()
        done.wait(60)


def held(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    ready, done = fork.Event(), fork.Event()
    child = fork.Process(target=hold, args=(store.directory, ready, done))
    child.start()
    assert ready.wait(30)
    return child, done


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_clocks_that_jump_change_nothing(store: Store, short: None, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """The clock of a contender, while the holder lives on for three times its lease; and of a holder, before it writes."""
    child, done = held(store, monkeypatch)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    started, lease = time.monotonic(), leases.Lease(store.directory / KIND / KEY)
    while time.monotonic() - started < 3:
        assert not lease.acquire(0.1)
        assert store.holder(KIND, KEY) is not None
    done.set()
    child.join(30)
    assert store.holder(KIND, KEY) is None
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        monkeypatch.setattr(time, "time", clock)
        time.sleep(1.5)
        claimed.save_state({"epoch": 1})


def test_waiting_is_told_with_who_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "FIRST_WORD_SECONDS", 0.5)
    monkeypatch.setattr(directory, "WORD_SECONDS", 0.5)
    assert store.holder(KIND, KEY) is None
    begun = time.time()
    child, done = held(store, monkeypatch)
    told: list[tuple[Holder, float]] = []

    def on_wait(holder: Holder, seconds: float) -> None:
        told.append((holder, seconds))
        if len(told) == 2:
            done.set()

    with store.claim(KIND, KEY, on_wait=on_wait) as claimed:
        assert isinstance(claimed, Workplace)
        me = store.holder(KIND, KEY)
        assert me is not None and me.pid == os.getpid()
    assert {holder.pid for holder, _ in told} == {child.pid}
    assert all(abs(holder.since - begun) < 10 for holder, _ in told)
    assert len(told) == 2 and 0.5 <= told[0][1] < told[1][1]
    child.join(30)
    assert store.holder(KIND, KEY) is None


def test_the_lease_of_a_dead_process_is_nobodys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    child, _ = held(store, monkeypatch)
    assert store.holder(KIND, KEY) is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert store.holder(KIND, KEY) is None


@pytest.mark.parametrize("content", [b"", bytes(200), b"pid 1"])
def test_a_lease_that_lost_its_content_in_a_power_cut_is_taken_over(
    store: Store, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Nobody holds it, and nobody can be waited for."""
    monkeypatch.setattr(leases, "EMPTY_SECONDS", 0.5)
    (store.directory / KIND).mkdir(parents=True)
    leases.lease_path(store.directory / KIND / KEY).write_bytes(content)
    started = time.monotonic()
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
    assert time.monotonic() - started < 10


def test_an_empty_lease_that_is_just_being_written_is_left_alone(store: Store) -> None:
    (store.directory / KIND).mkdir(parents=True)
    path = leases.lease_path(store.directory / KIND / KEY)
    path.touch()
    lease = leases.Lease(store.directory / KIND / KEY)
    assert not lease.acquire(0.2)
    assert not lease.acquire(0.2)
    assert path.read_bytes() == b""


def test_a_name_that_was_not_there_is_looked_for_in_a_listing(
    store: Store, publish: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system: that a name is missing is remembered until its folder is listed."""
    published, listed = publish(store), []
    lexists, scandir = os.path.lexists, os.scandir
    target = str(published.directory)
    monkeypatch.setattr(os.path, "lexists", lambda path: lexists(path) and (str(path) != target or bool(listed)))
    monkeypatch.setattr(os, "scandir", lambda path=".": listed.append(str(path)) or scandir(path))
    assert store.find(KIND, KEY) is None
    with store.claim(KIND, KEY) as claimed:
        assert claimed == published
    assert listed == [str(published.directory.parent)]


CALLS = {
    os: ("open", "fsync", "rename", "replace", "link", "mkdir", "scandir", "stat", "lstat", "chmod", "unlink"),
    io: ("open",),
    builtins: ("open",),
}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_any_call_that_fails_is_a_store_error_with_its_number_or_does_no_harm(
    tmp_path: Path, publish: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The first, the second, ... call that names the store or a descriptor fails; the next claim succeeds."""
    failed = 0
    for nth in range(300):
        store, left = Store(tmp_path / str(nth), lambda line: None), [nth]

        def failing(call: Callable[..., Any], where: str, left: list[int]) -> Callable[..., Any]:
            def maybe(*arguments: Any, **options: Any) -> Any:
                if isinstance(arguments[0], int) or where in str(arguments[0]):
                    left[0] -= 1
                    if left[0] == -1:
                        raise OSError(number, os.strerror(number))
                return call(*arguments, **options)

            return maybe

        with monkeypatch.context() as patched:
            for module, names in CALLS.items():
                for name in names:
                    patched.setattr(module, name, failing(getattr(module, name), str(store.directory), left))
            try:
                with store.claim(KIND, KEY) as claimed:
                    assert isinstance(claimed, Workplace)
                    claimed.load_state()
                    claimed.save_state({"epoch": 1})
                    publish(store, workplace=claimed)
            except StoreError as error:
                failed += 1
                assert error.errno == number
                assert str(store.directory) in str(error) and "\n" not in str(error)
        with store.claim(KIND, KEY) as claimed:
            artifact = claimed if isinstance(claimed, Artifact) else publish(store, workplace=claimed)
        artifact.verify()
        if left[0] >= 0:
            break
    assert left[0] >= 0, "the last run met no failure"
    assert failed > 30
