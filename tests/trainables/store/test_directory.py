"""The stage store: whole artifacts or none after a crash at any line, one process per stage, and errors that say where."""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainables import store as store_module
from trainables.store import Artifact, Course, Store, StoreError, Workplace, artifacts, workplace
from trainables.store.errors import readable_errors

KIND, KEY = "finetune", "0123456789abcdef"
WEIGHTS = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.count": torch.tensor(7)}
HISTORY = [{"epoch": 1, "finetune/loss": 0.5}, {"epoch": 2, "finetune/loss": 0.25}]
fork = multiprocessing.get_context("fork")


def publish(store: Store, key: str = KEY, workplace: Workplace | None = None) -> Artifact:
    return (workplace or Workplace(store, KIND, key)).publish(
        settings={"recipe": "scratch"},
        metrics={"finetune/loss": 0.25},
        history=HISTORY,
        tensors={"weights": WEIGHTS},
        files={"confusion.json": {"classes": ["a", "b"]}},
    )


def check_whole(artifact: Artifact) -> None:
    assert artifact.done.keys() - {"rung"} == {"metrics", "seconds", "files"}
    artifact.verify()
    assert artifact.done["metrics"] == {"finetune/loss": 0.25}
    assert artifact.done["seconds"] > 0
    assert artifact.history() == HISTORY
    weights = artifact.tensors()
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert (artifact.directory / "settings.json").read_text() == '{\n "recipe": "scratch"\n}\n'
    assert (artifact.directory / "confusion.json").exists()


def in_a_child(action: Callable[[], None]) -> int:
    """Exit code of a forked process that does this: minus the signal when one killed it."""
    child = fork.Process(target=action)
    child.start()
    child.join(30)
    assert child.exitcode is not None
    return child.exitcode


def killed_at_line(number: int, action: Callable[[], None]) -> None:
    """Do this and die by SIGKILL before the numbered line of trainables/store/."""
    package = str(Path(store_module.__file__).parent)
    left = [number]

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    sys.settrace(on_line)
    action()


def test_what_is_published_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.find(KIND, KEY) is None
    check_whole(publish(store))
    found = store.find(KIND, KEY)
    assert found is not None
    check_whole(found)
    assert [(kind, artifact.directory.name) for kind, artifact in artifacts(tmp_path / "store")] == [(KIND, KEY)]


def test_what_is_kept_on_the_way_is_part_of_the_artifact(tmp_path: Path) -> None:
    """Checkpoints are written while a stage runs, may be written again, and are no artifact before it is published."""
    store = Store(tmp_path)
    workplace = Workplace(store, KIND, KEY)
    for value in (1.0, 2.0):
        workplace.keep("weights-1", {"w": torch.full((2,), value)})
    workplace.save_state({"epoch": 1})
    assert store.find(KIND, KEY) is None
    again = Workplace(store, KIND, KEY)
    assert again.load_state() == {"epoch": 1}
    artifact = publish(store, workplace=again)
    check_whole(artifact)
    assert artifact.tensors("weights-1")["w"].tolist() == [2.0, 2.0]
    assert [path.name for path in (tmp_path / KIND).iterdir()] == [KEY]
    assert not list(artifact.directory.glob("state*"))


def test_a_crash_while_keeping_leaves_the_previous_tensors_or_the_new_ones(tmp_path: Path) -> None:
    values = []
    for number in range(60):
        store = Store(tmp_path / str(number))
        workplace = Workplace(store, KIND, KEY)
        workplace.keep("weights-1", {"w": torch.tensor(1.0)})
        workplace.save_state({"epoch": 1})
        keep = lambda workplace=workplace: workplace.keep("weights-1", {"w": torch.tensor(2.0)})  # noqa: E731
        code = in_a_child(lambda number=number, keep=keep: killed_at_line(number, keep))  # type: ignore[misc]
        path = workplace.directory / "weights-1.safetensors"
        values.append(float(load_file(path)["w"]))
        if code == 0:
            break
    assert code == 0
    assert set(values) == {1.0, 2.0}
    assert values == sorted(values)


def test_what_a_process_leaves_that_is_killed_right_after_it_has_published_goes_with_the_next_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def make() -> None:
        monkeypatch.setattr(Workplace, "discard_state", lambda self: os.kill(os.getpid(), signal.SIGKILL))
        with store.claim(KIND, KEY) as claimed:
            assert isinstance(claimed, Workplace)
            claimed.save_state({"epoch": 1})
            publish(store, workplace=claimed)

    assert in_a_child(make) == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / KIND).iterdir()) == [f".{KEY}.lease", f".{KEY}.work", KEY]
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Artifact)
        check_whole(claimed)
    assert [path.name for path in (tmp_path / KIND).iterdir()] == [KEY]


def test_what_lies_beside_an_artifact_is_left_to_who_holds_its_lease(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.claim(KIND, KEY) as first:
        assert isinstance(first, Workplace)
        publish(Store(tmp_path))
        first.save_state({"epoch": 1})
        with Store(tmp_path).claim(KIND, KEY) as second:
            assert isinstance(second, Artifact)
        assert first.load_state() == {"epoch": 1}


def test_a_crash_at_any_line_of_publish_leaves_a_whole_artifact_or_none(tmp_path: Path) -> None:
    """A child is killed before its first line, its second, ... until it ends by itself; then the stage is made again. Its state
    for more epochs is there or not, and whole if it is."""
    outcomes, damage = [], list[str]()
    for number in range(400):
        store = Store(tmp_path / str(number), damage.append)
        first = Workplace(store, KIND, KEY)
        first.course = Course("c" * 16, 1, lambda shorter: {})
        first.keep("weights-1", {"w": torch.ones(2)})
        first.save_state({"epoch": 1})
        action = functools.partial(publish, store, workplace=first)
        code = in_a_child(functools.partial(killed_at_line, number, action))
        found = store.find(KIND, KEY)
        if found is not None:
            check_whole(found)
            assert found.tensors("weights-1")["w"].tolist() == [1, 1]
        listed = [artifact.directory.name for _, artifact in artifacts(store.directory)]
        assert listed == ([] if found is None else [KEY]), "nothing unfinished is listed"
        longer = Workplace(store, KIND, "longer")
        longer.course = replace(first.course, epochs=2)
        assert longer.load_state() in (({"epoch": 1},) if code == 0 else ({"epoch": 1}, None)) and not damage
        with store.claim(KIND, KEY) as claimed:
            assert isinstance(claimed, Artifact) == (found is not None)
            if isinstance(claimed, Workplace):
                assert claimed.load_state() == {"epoch": 1}
                again = publish(store, workplace=claimed)
                check_whole(again)
                assert again.tensors("weights-1")["w"].tolist() == [1, 1]
        outcomes.append(found is not None)
        if code == 0:
            break
    assert code == 0, "the last child was not killed"
    assert outcomes.count(False) > 20, "children were killed before the artifact was there"
    assert outcomes == sorted(outcomes), "and once it was there it was there"


def test_a_crash_while_saving_leaves_the_previous_state(tmp_path: Path) -> None:
    for number in range(100):
        workplace = Workplace(Store(tmp_path / str(number)), KIND, KEY)
        workplace.save_state({"epoch": 1, "weights": torch.ones(3)})
        save = lambda workplace=workplace: workplace.save_state({"epoch": 2, "weights": torch.zeros(3)})  # noqa: E731
        code = in_a_child(lambda number=number, save=save: killed_at_line(number, save))  # type: ignore[misc]
        state = workplace.load_state()
        assert state is not None
        assert float(state["weights"].sum()) == (3 if state["epoch"] == 1 else 0)
        if code == 0:
            break
    assert code == 0
    assert state["epoch"] == 2


def test_training_state_lives_until_the_artifact_is_published(tmp_path: Path) -> None:
    store = Store(tmp_path)
    workplace = Workplace(store, KIND, KEY)
    assert workplace.load_state() is None
    workplace.save_state({"epoch": 3, "history": HISTORY, "weights": WEIGHTS, "best": None})
    state = Workplace(store, KIND, KEY).load_state()
    assert state is not None
    assert state["history"] == HISTORY
    assert torch.equal(state["weights"]["layer.weight"], WEIGHTS["layer.weight"])
    publish(store)
    assert workplace.load_state() is None
    assert [path.name for path in (tmp_path / KIND).iterdir()] == [KEY]


class Malice:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_training_state_with_code_in_it_is_refused(tmp_path: Path) -> None:
    """As earlier versions wrote them; it goes when the stage is next claimed."""
    path = tmp_path / KIND / f".{KEY}.work" / "state.pt"
    path.parent.mkdir(parents=True)
    torch.save({"epoch": Malice(tmp_path / "was-here")}, path)
    with Store(tmp_path).claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        assert claimed.load_state() is None
        assert not path.exists()
    assert not (tmp_path / "was-here").exists()
    assert list((tmp_path / KIND).iterdir()) == []


def make_slowly(directory: Path, log: Path) -> None:
    store = Store(directory)
    with store.claim(KIND, KEY) as claimed:
        if isinstance(claimed, Workplace):
            with log.open("a") as file:
                file.write("made\n")
            time.sleep(0.5)
            publish(store, workplace=claimed)
        else:
            check_whole(claimed)


def test_of_several_processes_one_makes_the_stage_and_all_get_it(tmp_path: Path) -> None:
    children = [fork.Process(target=make_slowly, args=(tmp_path / "store", tmp_path / "log")) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"


def test_other_stages_are_not_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.claim(KIND, KEY), store.claim(KIND, "another"), store.claim("pretext", KEY) as claimed:
        assert isinstance(claimed, Workplace)


def hold(directory: Path, ready: Any) -> None:
    with Store(directory).claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        claimed.save_state({"epoch": 5})
        ready.set()
        time.sleep(60)


def test_the_claim_of_a_killed_process_is_taken_over_at_once_and_its_state_continued(tmp_path: Path) -> None:
    ready = fork.Event()
    child = fork.Process(target=hold, args=(tmp_path, ready))
    child.start()
    assert ready.wait(30)
    os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
    child.join()
    started = time.monotonic()
    with Store(tmp_path).claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        assert claimed.load_state() == {"epoch": 5}
    assert time.monotonic() - started < 10, "the lease itself lasts a minute"


def test_the_claim_of_a_failed_stage_is_free_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ArithmeticError), store.claim(KIND, KEY):
        raise ArithmeticError
    started = time.monotonic()
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
    assert time.monotonic() - started < 2


def test_a_store_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        store = Store(place)
        workplace = Workplace(store, KIND, KEY)
        for action in (store.check_writable, lambda s=store: publish(s), lambda w=workplace: w.save_state({})):
            with pytest.raises(StoreError, match=str(place)):
                action()
        with pytest.raises(StoreError, match=str(place)), store.claim(KIND, KEY):
            pass
    Store(tmp_path / "new" / "store").check_writable()
    assert list((tmp_path / "new" / "store").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only directories")
def test_a_read_only_store_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(tmp_path).check_writable()


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes: writing fails midway, as on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("weights", [None, {"w": torch.zeros(100_000)}])
def test_a_write_that_fails_midway_is_a_store_error_and_leaves_nothing(tmp_path: Path, weights: Any) -> None:
    """The limit hits the JSON files, or only the weights, which safetensors writes in Rust."""
    tensors = {"weights": weights} if weights else {}
    store, workplace = Store(tmp_path), Workplace(Store(tmp_path), KIND, KEY)
    size = 10_000 if weights else 10
    with files_limited_to(size), pytest.raises(StoreError, match="cannot write to the store"):
        workplace.publish(settings={"a": "long enough"}, metrics={}, tensors=tensors)
    assert store.find(KIND, KEY) is None
    assert [path.name for path in (tmp_path / KIND).rglob("*") if path.is_file()] == []


def test_a_state_that_does_not_fit_is_a_store_error_and_the_previous_one_stays(tmp_path: Path) -> None:
    workplace = Workplace(Store(tmp_path), KIND, KEY)
    workplace.save_state({"epoch": 1})
    with files_limited_to(10_000), pytest.raises(StoreError, match="cannot write to the store"):
        workplace.save_state({"epoch": 2, "weights": torch.zeros(100_000)})
    assert workplace.load_state() == {"epoch": 1}


def test_a_disk_that_is_full_when_flushed_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        publish(Store(tmp_path))
    assert Store(tmp_path).find(KIND, KEY) is None
    with pytest.raises(StoreError, match="No space left on device"):
        Workplace(Store(tmp_path), KIND, KEY).save_state({"epoch": 1})


def test_an_error_of_the_stage_itself_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), readable_errors(tmp_path):
        raise RuntimeError("shape mismatch")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the store takes for the time; a test moves it."""
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(workplace, "time", clock)
    return clock


def test_the_seconds_of_a_stage_are_counted_over_its_interruptions(tmp_path: Path, clock: SimpleNamespace) -> None:
    """Two until the state was saved; what came after it was lost with the run, and so was the hour until the next one, which
    took 1.5 to the end."""
    first = Workplace(Store(tmp_path), KIND, KEY)
    clock.now += 2
    first.save_state({"epoch": 1})
    clock.now += 3600
    second = Workplace(Store(tmp_path), KIND, KEY)
    assert second.load_state() == {"epoch": 1}
    clock.now += 1.5
    assert second.publish(settings={}, metrics={}).done["seconds"] == 3.5
