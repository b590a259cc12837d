"""What is told of a sweep's trials to whoever watches it: runs, the epochs of their stages, how they ended.

`Tracker` counts what was told, so that nothing is told twice, and hands it to its listeners: W&B (harness/wandb_runs.py) and
TensorBoard (harness/event_files.py), each in a process of its own (harness/listener.py). Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.listener import Listener

SWEEP = ""
"""In the place of a trial, of the run of a sweep as a whole."""


def step_axis(stage: str) -> str:
    """The metric that counts a stage's epochs, named as its other metrics are: `finetune/epoch`, `finetune/epoch/ucf101`."""
    kind, several, dataset = stage.partition("/")
    return f"{kind}/epoch{several}{dataset}"


@dataclass
class _Trial:
    """What was told of one that has not finished: epochs by stage, and steps in all."""

    config: Mapping[str, Any]
    epochs: dict[str, int] = field(default_factory=dict)
    steps: int = 0


@dataclass
class Tracker:
    """Runs of one sweep, one run per trial. No method blocks, except `close`, and none raises because of a listener."""

    listeners: Sequence[Listener] = ()
    _trials: dict[str, _Trial] = field(default_factory=dict, init=False)

    def start(
        self, trial: str, name: str, config: Mapping[str, Any], tags: Sequence[str] = (), compared: Sequence[str] = ()
    ) -> None:
        """Open the trial's run; one that exists, here or from an earlier call of the same sweep, is continued.

        With another config than before its stages begin anew. compared: what of the config tells trials apart.
        """
        for listener in self.listeners:
            listener.begin()
        known = self._trials.setdefault(trial, _Trial(config))
        if known.config != config:
            known.config, known.epochs = config, {}
        self._tell(trial, action="start", name=name, config=dict(config), tags=list(tags), compared=list(compared))

    def epoch(self, trial: str, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a stage, from 1; one that was told before, or comes before such a one, is not told again.

        Metrics may be NaN or infinite. What comes for a trial that is not started, or finished, is ignored.
        """
        known = self._trials.get(trial)
        if known is None or epoch <= known.epochs.get(stage, 0):
            return
        known.epochs[stage] = epoch
        known.steps += 1
        self._tell(trial, action="log", step=known.steps, along=step_axis(stage), epoch=epoch, metrics=dict(metrics))

    def replay(self, trial: str, stage: str, history: Mapping[str, Sequence[float]]) -> None:
        """The epochs of a finished stage, metric by metric, of which nothing was told: those of one that was found."""
        for number in range(max(map(len, history.values()), default=0)):
            self.epoch(trial, stage, number + 1, {name: of[number] for name, of in history.items() if number < len(of)})

    def finish(
        self,
        trial: str,
        outcome: str,
        summary: Mapping[str, float],
        config: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Path] | None = None,
    ) -> None:
        """Close the trial's run with its outcome and final metrics in the summary; `failed` marks the run as failed.

        config: what is known by now. artifacts: by stage, of a complete trial, what to take pictures from.
        """
        if self._trials.pop(trial, None) is not None:
            places = {stage: str(place.absolute()) for stage, place in (artifacts or {}).items()}
            self._tell(
                trial, action="finish", outcome=outcome, summary=dict(summary), config=dict(config or {}), artifacts=places
            )

    def conclude(self, sweep: str, found: Mapping[str, Any]) -> None:
        """A run of the sweep as a whole: `tables` by name, with `columns`, `rows` and perhaps a `chart`, and a `summary`."""
        self._tell(SWEEP, action="start", name=sweep, config={}, tags=["sweep"], compared=[])
        self._tell(SWEEP, action="tables", tables=found["tables"])
        self._tell(SWEEP, action="finish", outcome="complete", summary=found["summary"], config={}, artifacts={})

    def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until all is written; after that the listeners end their work by themselves."""
        for listener in self.listeners:
            listener.let_go()
        end = time.monotonic() + timeout
        for listener in self.listeners:
            listener.wait(max(end - time.monotonic(), 0))

    @property
    def has_told(self) -> bool:
        """Whether any listener was told of a trial."""
        return any(listener.child is not None for listener in self.listeners)

    @property
    def descriptions(self) -> dict[str, str]:
        """By what people call a listener, a line on where its runs are."""
        return {listener.title: listener.description for listener in self.listeners}

    def _tell(self, trial: str, **fields: Any) -> None:
        for listener in self.listeners:
            listener.tell(trial, **fields)
