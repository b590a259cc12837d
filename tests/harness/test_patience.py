"""What a long wait is told as: the line where a thread is, the resources that no node has; when first, and when again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from harness import patience
from harness.patience import Pulse, Words, no_room

SLOW = """
import time

def suggest(until):
    while not until.is_set():
        time.sleep(0.01)
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_word_is_due_after_half_a_minute_and_then_every_minute(clock: list[float]) -> None:
    words = Words()
    told = []
    for _ in range(200):
        clock[0] += 1
        if (seconds := words.due()) is not None:
            told.append(seconds)
    assert told == [30, 90, 150]
    words.begin()
    clock[0] += 29
    assert words.due() is None


def test_code_of_the_user_s_that_does_not_return_is_named_by_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in this thread; what says so looks from another. One that gets on is not told of."""
    for name, value in {"FIRST_WORD_SECONDS": 0.2, "WORD_SECONDS": 60, "LOOK_SECONDS": 0.02}.items():
        monkeypatch.setattr(patience, name, value)
    path = tmp_path / "mine.py"
    path.write_text(SLOW)
    namespace: dict[str, object] = {}
    exec(compile(SLOW, str(path), "exec"), namespace)
    said: list[str] = []
    told = threading.Event()

    def say(message: str) -> None:
        said.append(message)
        told.set()

    with Pulse("handing out trials", say) as pulse:
        for _ in range(20):
            time.sleep(0.02)
            pulse.beat()
        assert said == []
        namespace["suggest"](told)  # type: ignore[operator]
    assert len(said) == 1
    assert said[0].startswith("handing out trials for 0 s by now, at ")
    assert f"{path}:6, in suggest" in said[0] or f"{path}:5, in suggest" in said[0]


@pytest.mark.parametrize(
    ("nodes", "free", "says"),
    [
        ([{"CPU": 2.0}], {"CPU": 2.0}, "the nodes of the cluster have 2 CPU and 0 GPU: none has that much"),
        ([{"CPU": 2.0}, {"CPU": 8.0, "GPU": 0.5}], {}, "2 CPU and 0 GPU; 8 CPU and 0.5 GPU: none has that much"),
        ([{"CPU": 2.0, "GPU": 1.0}], {"CPU": 2.0}, "2 CPU and 1 GPU, of which 2 CPU and 0 GPU is free: it is in use by others"),
        ([], {}, "the nodes of the cluster have gone: none has that much"),
    ],
)
def test_resources_that_no_node_has_are_told_from_those_in_use(
    nodes: list[dict[str, float]], free: dict[str, float], says: str
) -> None:
    said = no_room({"CPU": 1, "GPU": 1}, nodes, free)
    assert said.startswith("a trial asks for 1 CPU and 1 GPU; ")
    assert says in said
    assert "GPU" not in no_room({"CPU": 1, "GPU": 0}, nodes, free)
