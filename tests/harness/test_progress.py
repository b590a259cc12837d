"""The live console: counts, time left and best against hand calculation; what is shown fits the terminal."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from harness import progress
from harness.forecast import Forecast
from harness.ledger import Outcome, Record, Seconds
from harness.progress import Progress
from harness.view import label_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def plain_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def terminal(width: int, height: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, _environ={"TERM": "xterm"})


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def view(shown: Progress, console: Console) -> list[str]:
    rendered = console.render_lines(shown._view(), console.options, pad=False)
    return ["".join(segment.text for segment in line) for line in rendered]


def record(
    index: int,
    outcome: Outcome = "complete",
    used: float = 10.0,
    saved: float = 0.0,
    reason: str | None = None,
    row: str | None = None,
) -> Record:
    return Record(
        trial=f"trial{index:04}",
        index=index,
        row=row,
        space="temperatures",
        preset="demo",
        parameters=parameters(index),
        settings={},
        data={},
        seed=0,
        stages={},
        metrics={},
        seconds={"auxskd": Seconds(used=used, saved=saved), "pretext": Seconds(used=0, saved=0)},
        outcome=outcome,
        reason=reason,
        versions={},
        command="",
    )


def parameters(index: int) -> dict[str, Any]:
    return {"auxskd.teacher_temperature": 0.01 + index / 3000, "auxskd.student_temperature": 0.1}


def start(shown: Progress, *indices: int) -> None:
    for index in indices:
        shown.trial_started(f"trial{index:04}", f"t{index}", parameters(index), 0)


def test_without_a_terminal_every_trial_is_one_plain_line(clock: Clock) -> None:
    console = plain_console()
    with Progress("sweep", 4, "validation/top1", "preset demo, runs/sweep", console) as shown:
        shown.trial_ended(record(0, used=30, saved=1, row="0.02/0.1"), 0.25)
        start(shown, 1, 2, 3)
        shown.note("W&B went offline [red]")
        clock.now += 75
        shown.trial_ended(record(1), 0.5)
        shown.trial_ended(record(2, used=0, saved=3700), 0.375)
        shown.trial_ended(record(3, "failed", reason="loss is NaN"), None)
    assert lines(console) == [
        "sweep: 4 trials, preset demo, runs/sweep",
        "[1/4] reused  #0  teacher=0.01 student=0.1 seed=0  validation/top1 25.0%  saved 0:01",
        "note: W&B went offline [red]",
        "[2/4] complete  t1  teacher=0.0103 student=0.1 seed=0  validation/top1 50.0%  1:15",
        "[3/4] reused  t2  teacher=0.0107 student=0.1 seed=0  validation/top1 37.5%  saved 1:01:40",
        "[4/4] failed  t3  teacher=0.011 student=0.1 seed=0  1:15  loss is NaN",
        "4/4 done, 1 failed, 2 reused, 1:15 elapsed",
    ]


def test_a_silent_sweep_without_a_terminal_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.2)
    console = plain_console()
    with Progress("sweep", 2, "validation/top1", "here", console) as shown:
        start(shown, 0)
        time.sleep(0.9)
    beats = [line for line in lines(console)[1:-1] if line.startswith("0/2 done, 1 running")]
    assert 2 <= len(beats) <= 4


def test_time_left_is_what_remains_at_the_mean_of_computed_trials(clock: Clock) -> None:
    shown = Progress("sweep", 10, "validation/top1", "here", plain_console())
    start(shown, 0, 1)
    assert shown._seconds_left() is None
    shown.trial_ended(record(9), 0.5)  # from the ledger: says nothing about speed
    assert shown._seconds_left() is None
    clock.now += 40
    shown.trial_ended(record(0), 0.5)
    start(shown, 2)
    clock.now += 20
    shown.trial_ended(record(1), 0.5)
    start(shown, 3)
    clock.now += 10
    # mean 50 s; done: 9, 0, 1; trial 2 has 20 s to go, trial 3 has 40 s; 5 wait; two run at once
    assert shown._seconds_left() == pytest.approx((5 * 50 + 20 + 40) / 2)
    shown.trial_ended(record(2, "failed"), None)
    assert shown._seconds_left() == pytest.approx((5 * 50 + 40) / 2)
    shown.total_changed(None)
    assert shown._seconds_left() is None


def test_a_forecast_tells_the_time_left_before_the_first_trial_has_ended(clock: Clock) -> None:
    """Two trials of 60 and 40 s, one at a time."""
    plan = {("pretext", "a"): 60.0, ("finetune", "b"): 40.0}
    shown = Progress("sweep", 2, "validation/top1", "here", plain_console(), forecast=Forecast(plan, 1))
    assert shown._counts().endswith("0:00 elapsed, about 1:40 left"), "also before one has begun"
    start(shown, 0)
    shown.reached("trial0000", {"stage": "pretext", "epochs": 4})
    clock.now += 20
    shown.reached("trial0000", {"stage": "pretext", "epoch": 1, "epochs": 4})
    assert shown._seconds_left() == pytest.approx(100 - 15)
    shown.reached("trial0000", {"stage": "pretext", "batch": 1, "batches": 2})
    assert shown._seconds_left() == pytest.approx(100 - 60 * 1.5 / 4)
    shown.stage_made("trial0000", "pretext", "a", 60)
    assert shown.sign()["seconds_left"] == pytest.approx(40)
    shown.stages_dropped([("finetune", "b")])
    shown.trial_ended(record(0), 0.5)
    shown.trial_ended(record(1, "failed"), None)
    assert shown._seconds_left() is None


def test_stages_without_epochs_show_how_far_they_are(clock: Clock) -> None:
    console = terminal(160, 30)
    shown = Progress("sweep", 4, "validation/top1", "here", console)
    start(shown, 0, 1, 2)
    shown.reached("trial0000", {"stage": "features", "batch": 3, "batches": 12})
    shown.reached("trial0001", {"stage": "pretext", "epochs": 10})
    shown.reached("trial0001", {"stage": "pretext", "batch": 1, "batches": 4})
    shown.reached("trial0002", {"stage": "pretext", "epoch": 2, "epochs": 10, "pretext/loss": 1.5})
    shown.reached("trial0002", {"stage": "pretext", "batch": 1, "batches": 2})
    seen = [line.split() for line in view(shown, console) if line.startswith("t")][1:]
    assert [cells[6] for cells in seen] == ["3/12", "0/10", "2/10"]
    assert [cells[7] for cells in seen] == ["0:00", "+25%", "+50%"]
    assert seen[2][-1] == "1.5", "what the epochs before gave stays"
    shown.reached("trial0002", {"stage": "finetune"})
    assert "1.5" not in view(shown, console)[7]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_trials_that_have_ended_fill_the_terminal(clock: Clock, width: int, height: int) -> None:
    console = terminal(width, height)
    shown = Progress("sweep", 100, "validation/top1", "here", console)
    for index in range(90):
        shown.trial_ended(record(index), 0.5)
    start(shown, 90, 91)
    shown.configuration_settled(parameters(0), None, 0.5)
    seen = view(shown, console)
    assert height - 1 <= len(seen) <= height
    assert "#89" in "\n".join(seen)


@pytest.mark.parametrize(("direction", "best"), [("maximize", "80.0%"), ("minimize", "20.0%")])
def test_best_is_the_best_configuration(clock: Clock, direction: Any, best: str) -> None:
    """By the mean over its seeds, however good one of them is alone."""
    shown = Progress("sweep", 10, "validation/top1", "here", terminal(100, 30), direction)
    shown.trial_ended(record(0), 0.99)
    shown.trial_ended(record(1), 0.01)
    assert not any(line.startswith("best") for line in view(shown, terminal(100, 30)))
    for number, objective in enumerate([0.5, 0.8, 0.2]):
        shown.configuration_settled({"a.epochs": number}, None, objective)
    (line,) = (line for line in view(shown, terminal(100, 30)) if line.startswith("best"))
    assert line.split() == ["best", "validation/top1", best, f"epochs={1 if direction == 'maximize' else 2}"]


def test_a_retried_trial_counts_once(clock: Clock) -> None:
    shown = Progress("sweep", 2, "validation/top1", "here", plain_console())
    shown.trial_ended(record(0, "failed"), None)
    shown.trial_ended(record(1, "interrupted"), None)
    assert shown._counts().startswith("1/2 done, 1 failed, 1 interrupted, 0:00")
    start(shown, 0, 1)
    assert shown._counts().startswith("0/2 done, 2 running")
    shown.trial_ended(record(0), 0.5)
    assert shown._counts().startswith("1/2 done, 1 running")


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (60, 20), (40, 16)])
@pytest.mark.parametrize("at_once", [1, 12])
def test_the_view_fits_the_terminal(clock: Clock, width: int, height: int, at_once: int) -> None:
    console = terminal(width, height)
    shown = Progress("temperatures", 100, "validation/top1", "preset demo, embedded clips, runs/x", console)
    for index in range(20):
        shown.trial_ended(record(index, reason="a reason [bold]" * 10), index / 20)
    shown.configuration_settled(record(19).parameters, None, 0.95)
    start(shown, *range(20, 20 + at_once))
    metrics = {"stage": "pretext", "epoch": 3, "epochs": 10, "pretext/loss": 1.23456, "pretext/speed_accuracy": 0.25}
    shown.reached("trial0020", metrics | {"pretext/val_speed_accuracy": 0.375})
    seen = view(shown, console)
    assert len(seen) <= height
    assert max(len(line.rstrip()) for line in seen) <= width
    text = "\n".join(seen)
    if width >= 60:
        for part in (
            "temperatures",
            "20/100 done",
            "pretext",
            "3/10",
            "1.23",
            "37.5%",
            "teacher=0.0167",
            "best",
            "95.0%",
        ):
            assert part in text, part
        assert ("t20" in text) == (width >= 80)
        assert ("more" in text) == (at_once == 12 and height < 24)


def test_a_stage_of_one_of_several_data_sets_shows_its_own_loss_and_accuracy(clock: Clock) -> None:
    console = terminal(160, 30)
    shown = Progress("sweep", 2, "validation/top1", "here", console)
    start(shown, 0)
    metrics = {"finetune/loss/hmdb51": 1.25, "finetune/accuracy/hmdb51": 0.75, "finetune/val_top1/hmdb51": 0.375}
    shown.reached("trial0000", {"stage": "finetune/hmdb51", "epoch": 2, "epochs": 5, **metrics})
    (line,) = (line for line in view(shown, console) if "finetune/hmdb51" in line)
    assert "2/5" in line
    assert "1.25" in line
    assert "37.5%" in line
    assert "75.0%" not in line, "on validation clips where there are any"


def test_brackets_are_shown_as_they_are(clock: Clock) -> None:
    console = terminal(100, 30)
    shown = Progress("[red]sweep", 2, "validation/top1", "[bold]here", console)
    shown.trial_started("a", "[blue]", {"x.widths": [8, "red"]}, 0)
    shown.trial_started("b", "#1", {}, 0, "[dim]")
    shown.trial_ended(record(1, row="[italic]"), 0.5)
    text = "\n".join(view(shown, console))
    for part in ("[red]sweep", "[bold]here", "[blue]", "widths=[8, 'red']", "[dim] seed=0", "[italic] seed=0"):
        assert part in text, part


def test_labels_keep_what_tells_parameters_apart() -> None:
    assert label_of({"a.teacher_temperature": 0.02, "b.student_temperature": 0.1}, None, 3) == (
        "teacher=0.02 student=0.1 seed=3"
    )
    assert label_of({"a.temperature": 1 / 3}, "x", 0) == "x seed=0", "a row says it all"
    assert label_of({"a.temperature": 1 / 3}, "0.33", 0) == "temperature=0.333 seed=0", "but for one of numbers alone"
    assert label_of({"a.rate": 1e-5, "a.decay_rate": True}, None, 0) == "rate=1e-05 decay_rate=True seed=0"
    assert label_of({"x.depth": 18, "y.depth": "r3d"}, None, 0) == "depth=18 depth=r3d seed=0"


def test_the_live_view_is_redrawn_at_most_four_times_a_second_and_never_locks_up() -> None:
    console = terminal(80, 24)
    drawn = 0

    class Counted(Progress):
        def _view(self) -> Any:
            nonlocal drawn
            drawn += 1
            return super()._view()

    def work(shown: Progress, first: int) -> None:
        for index in range(first, first + 10):
            start(shown, index)
            for epoch in range(1, 101):
                shown.reached(f"trial{index:04}", {"stage": "auxskd", "epoch": epoch, "epochs": 100, "auxskd/loss": 1.0})
                time.sleep(0.001)
            shown.note(f"note {index}")
            shown.trial_ended(record(index, "failed" if index % 5 == 0 else "complete", reason="why"), 0.5)

    begin = time.monotonic()
    with Counted("sweep", 40, "validation/top1", "here", console) as shown:
        threads = [threading.Thread(target=work, args=(shown, 10 * i), daemon=True) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert shown._counts().startswith("40/40 done, 8 failed")
    printed = 40 + 8
    assert drawn <= 4 * (time.monotonic() - begin) + 2 * (printed + 2)
    assert sum("note" in line for line in lines(console)) == 40
