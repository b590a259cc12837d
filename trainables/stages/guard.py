"""The collapse guard: a network that says the same of all clips, a layer of which nearly nothing lives, or a loss that has left
all bounds ends its stage.

Nothing that follows could tell such a network from a bad method, and it hardly ever comes back: units that are zero everywhere
get no gradient. It goes by the loss and what `health.py` measures after each epoch, compared with the stage's first batch.

Seen in some 100 stages of every kind that train as they should, most of them at preset demo, some at the sizes of tests and
of preset paper: `health_std` 0.003 to 0.75, `health_logits` 0.06 to 0.99, `health_died` 0 to 0.63. AlexNet at the paper's
size under Adam at 0.01, after five steps on noise: `health_died` 0.98, `health_std` 1.5e-5 of 0.022 at the start. On smaller
frames and with fewer hidden units: 0.96 to 0.98 and 0.0001 to 0.005 of 0.056; at 0.001, which trains, at worst 0.84 and
0.013. In another run at the paper's size a layer kept more of its units, and the loss ended at 7,020, of 1.8 at the start;
where auxSKD destroys its start the loss has grown to twice the first. Students that say one thing of all clips have
`health_logits` 0. How far weights move tells nothing here: what destroys the start of auxSKD (0.2 of the norm in ten steps)
is healthy elsewhere, so that it is told (reports/flags.py), and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainables.stages.health import CONSTANT, Look

EQUAL = 1e-5
"""Of `health_std` and `health_logits`: below it differences between clips are those of rounding."""
ALIVE = 1e-3
"""Of the same at the first batch: above it clips differed."""
DIED = 0.95
"""Of `health_died`: units of a layer that lived."""
LEFT = 0.1
"""Of `health_std` at the first batch: what is left of it once a layer that died took the rest along."""
EXPLODED = 100.0
"""Of the mean loss of an epoch, in losses of the first batch, or in units where that was less than one."""
_WHAT = {"std": "features", "logits": "logits"}


class Collapsed(RuntimeError):
    """A stage whose network has collapsed; the message says how, when, and what to change."""


def check(stage: str, epoch: int, found: Mapping[str, float], start: Look) -> None:
    """Raises Collapsed. epoch: from 1. found: the measures after it."""
    for name in CONSTANT:
        value, before = found.get(f"health_{name}"), start.figures.get(name, 0.0)
        if value is not None and value < EQUAL and before > ALIVE:
            what = f"its {_WHAT[name]} are the same for all clips (health_{name} {value:.1g}, {before:.2g} at the first batch)"
            raise Collapsed(f"{stage} collapsed in epoch {epoch}: {what}")
    died = found.get("health_died", 0.0)
    spread, before = found.get("health_std", 0.0), start.figures.get("std", 0.0)
    if died > DIED and spread < LEFT * before:
        figures = f"health_std {spread:.1g}, {before:.2g} at the first batch"
        what = f"{died:.0%} of the units of a layer died, and clips hardly differ ({figures})"
        raise Collapsed(f"{stage} collapsed in epoch {epoch}: {what}")
    loss, first = found.get("loss", 0.0), start.loss
    if first is not None and loss > EXPLODED * max(first, 1.0):
        raise Collapsed(f"{stage} collapsed in epoch {epoch}: its loss is {loss:,.1f}, and was {first:,.1f} at the first batch")


def advice(schedule: str) -> str:
    """What to do about it. schedule: the group of settings with the stage's learning rate."""
    return (
        f"what may help: a lower {schedule}.learning_rate, a warm-up ({schedule}.warmup_epochs), shorter gradients "
        f"({schedule}.clip_gradient); --set compute.guard=off goes on all the same"
    )
