"""What makes two sweeps the same one, and two trials the same trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.ledger import Ledger
from harness.trials import Sweep, SweepError
from search_spaces.space import find_space

MakeSweep = Callable[..., Sweep]


def test_a_sweep_may_grow(make_sweep: MakeSweep) -> None:
    make_sweep(trials=2, seeds=1).settle_identity()
    make_sweep(trials=20, seeds=3, command="another").settle_identity()


@pytest.mark.parametrize(
    ("values", "changes", "says"),
    [
        ({"pretext.epochs": 3}, {}, "settings.pretext.epochs: 2 then, 3 now"),
        ({}, {"preset": "small"}, "preset: demo then, small now"),
        ({}, {"search": "random"}, "search: tpe then, random now"),
        ({}, {"space": find_space("finetune")}, "space: temperatures then, finetune now"),
        ({"data.embedded.test": 2}, {}, r"data\.embedded: [0-9a-f]{16} then"),
        ({}, {"narrowing": {"auxskd.teacher_temperature": 0.02}}, "narrowing: None then, .*0.02.* now"),
        ({"protocol": "published"}, {}, "settings.protocol: like_for_like then, published now"),
    ],
)
def test_a_name_is_not_reused_for_another_sweep(
    make_sweep: MakeSweep, values: dict[str, object], changes: dict[str, object], says: str
) -> None:
    make_sweep().settle_identity()
    with pytest.raises(SweepError, match=rf"sweep 'tiny' was started with other settings .*{says}.*--name"):
        make_sweep(values, **changes).settle_identity()
    make_sweep().settle_identity()
    assert json.loads((make_sweep().directory / "sweep.json").read_text())["search"] == "tpe"


def test_trials_have_the_same_identity_in_every_sweep(make_sweep: MakeSweep, tmp_path: Path) -> None:
    def trials(sweep: Sweep) -> list[str]:
        return [job.trial for job in sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())]

    first = trials(make_sweep(seeds=2))
    assert len(set(first)) == 2
    assert trials(make_sweep(seeds=2, name="other", directory=tmp_path / "other", search="grid")) == first
    assert trials(make_sweep({"finetune.epochs": 1}, seeds=2)) != first
