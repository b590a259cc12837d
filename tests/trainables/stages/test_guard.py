"""The collapse guard: what it ends and what not, in plain words, and that it can be switched off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, parse_assignment, with_values
from trainables.stages.guard import ALIVE, DIED, EQUAL, EXPLODED, LEFT, Collapsed, check
from trainables.stages.health import Look

HEALTHY = {"health_std": 0.06, "health_logits": 0.7, "health_died": 0.4}
START = Look({"std": 0.06, "logits": 0.7}, loss=2.0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"health_std": EQUAL / 2}, r"its features are the same for all clips \(health_std 5e-06, 0\.06 at the first batch\)"),
        ({"health_logits": 0.0}, r"its logits are the same for all clips \(health_logits 0, 0\.7 at the first batch\)"),
        ({"health_died": 0.97, "health_std": 0.001}, "97% of the units of a layer died, and clips hardly differ"),
        ({"loss": 3510.0}, r"its loss is 3,510\.0, and was 2\.0 at the first batch"),
    ],
)
def test_a_collapsed_network_ends_its_stage(found: dict[str, float], said: str) -> None:
    with pytest.raises(Collapsed, match=f"^student collapsed in epoch 2: {said}"):
        check("student", 2, HEALTHY | found, START)


@pytest.mark.parametrize(
    ("found", "start"),
    [
        ({}, START),
        ({"health_std": 1.01 * EQUAL}, START),
        ({"health_died": 1.0}, START),  # and yet clips differ: a layer of few units
        ({"health_died": DIED, "health_std": LEFT * 0.05}, START),
        ({"health_std": 0.0, "health_logits": 0.0}, Look({"std": ALIVE, "logits": 0.0})),  # it never told clips apart
        ({"health_std": 0.0}, Look()),
        ({"loss": 2.0 * EXPLODED}, START),
        ({"loss": EXPLODED}, Look(loss=0.001)),  # it had next to nothing to lose
        ({"loss": 1e6}, Look()),
    ],
)
def test_what_is_not_surely_a_collapse_goes_on(found: dict[str, float], start: Look) -> None:
    check("student", 1, HEALTHY | found, start)


def test_what_was_not_measured_is_no_collapse() -> None:
    check("prediction", 1, {"health_moved": 0.1}, START)


@pytest.mark.parametrize("rate", [0.003, 1.0])
def test_a_student_that_dies_of_its_learning_rate_fails_with_that_reason(
    tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime], rate: float
) -> None:
    """AlexNet without batch norm under Adam at 1 loses all bounds at once and says the same of all clips after some steps; at
    0.003 it lives. Where it died its stage goes on with the guard off, under another key."""
    dying = {"alexnet.batch_norm": False, "student.optimiser": "adam", "student.learning_rate": rate, "student.epochs": 6}
    settings = with_values(tiny_graph, {"recipe": "student", **dying})
    place = runtime()

    def run(settings: ExperimentSettings) -> dict[str, float]:
        return run_experiment(Experiment(settings, 0), place, lambda line: None).metrics

    if rate < 1:
        assert run(settings)["student/health_logits"] > 0.1
        return
    advice = (
        r"; what may help: a lower student\.learning_rate, a warm-up \(student\.warmup_epochs\), shorter gradients "
        r"\(student\.clip_gradient\); --set compute\.guard=off goes on all the same"
    )
    loss = r"its loss is [\d,.]+, and was 1\.8 at the first batch"
    with pytest.raises(Collapsed, match=rf"^student collapsed in epoch 1: {loss}{advice}$"):
        run(settings)
    off = run(with_values(settings, dict([parse_assignment("compute.guard=off")])))
    assert off["student/health_logits"] < EQUAL
