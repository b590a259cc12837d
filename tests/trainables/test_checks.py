"""The package's own tasks, networks and layouts keep the contracts that users' own are checked by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from trainables.checks import ContractError, check_backbone, check_layout, check_task, main
from trainables.settings import BACKBONES, TASKS, SettingsError

CLIPS = Path(os.environ.get("AUXGRAPH_CLIPS", "not given"))
FORMS: dict[str, list[dict[str, Any]]] = {
    "vspp": [{}, {"vspp.segments": 3, "vspp.speeds": 2, "auxskd.views": "distinct"}, {"vspp.segment_frames": "inclusive"}],
    "vcop": [{}, {"vcop.short_videos": "shrink", "vcop.clips": 2}],
    "sorting": [
        {},
        {"sorting.frames": 3, "video.pixels": "rgb_motion"},
        {
            "sorting.frames": 3,
            "sorting.spacing": 1,
            "sorting.tuples": "patches",
            "sorting.pair": "difference",
            "sorting.layers": 2,
        },
    ],
    "ego_motion": [{"ego_motion.objective": objective} for objective in ("closeness", "contrastive", "transform")],
}
"""Settings with which a task is another one; others have one form."""


@pytest.mark.parametrize(("task", "values"), [(task, values) for task in TASKS for values in FORMS.get(task, [{}])])
def test_tasks(task: str, values: dict[str, Any]) -> None:
    check_task(task, values)


@pytest.mark.parametrize("family", BACKBONES)
def test_backbones(family: str) -> None:
    check_backbone(family)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="AUXGRAPH_CLIPS names no directory of real clips")
def test_layouts_on_real_clips() -> None:
    check_layout("ucf101", CLIPS / "UCF-101", CLIPS / "splits" / "ucf101")
    check_layout("folder", CLIPS / "ut-interaction", CLIPS / "splits" / "ut-interaction" / "folds.csv")


def test_the_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0: kept; 1: not kept, and how; 2: no such thing."""
    assert main(["task", "vspp"]) == 0
    assert capsys.readouterr().out == "vspp keeps the contract of a task\n"
    broken = tmp_path / "forgetful.py"
    broken.write_text(
        "from trainables.tasks.vspp import VSPP\n\n\nclass Forgetful(VSPP):\n"
        "    @classmethod\n    def reads(cls, settings):\n        return ('vspp.segments', 'video.clip_frames')\n",
        encoding="utf-8",
    )
    assert main(["task", f"{broken}:Forgetful"]) == 1
    assert "vspp reads vspp.speeds, which is not in its key" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["task", "vsp"])
    assert ended.value.code == 2
    assert "did you mean 'vspp'?" in capsys.readouterr().err
    with pytest.raises(SettingsError, match=r"not a subclass of trainables\.tasks\.SelfSupervisedTask"):
        check_task("trainables.tasks.vspp:vspp_offsets")


def test_a_loss_that_compares_the_samples_of_a_batch_has_to_say_so(tmp_path: Path) -> None:
    """VSPP with the loss of the hardest sample, which is not the mean of that of two halves: such a batch is not divided."""
    hardest = tmp_path / "hardest.py"
    hardest.write_text(
        "from trainables.tasks.classifier import cross_entropies\nfrom trainables.tasks.vspp import VSPP\n\n\n"
        "class Hardest(VSPP):\n    def loss(self, network, clips, labels):\n"
        "        losses, metrics = cross_entropies(network(clips), labels)\n        return losses['speed'].max(), metrics\n\n\n"
        "class Honest(Hardest):\n    compares_samples = True\n",
        encoding="utf-8",
    )
    with pytest.raises(ContractError, match=r"the mean over its halves .* compares_samples = True"):
        check_task(f"{hardest}:Hardest")
    check_task(f"{hardest}:Honest")


def test_a_baseline_is_of_a_metric_that_there_is(tmp_path: Path) -> None:
    surest = tmp_path / "surest.py"
    surest.write_text(
        "from trainables.tasks.vspp import VSPP\n\n\n"
        "class Surest(VSPP):\n    def baseline(self, batches):\n        return {'sped': 0.5}\n\n\n"
        "class Honest(VSPP):\n    def baseline(self, batches):\n        return {'speed': 0.5}\n",
        encoding="utf-8",
    )
    with pytest.raises(ContractError, match="a baseline of sped, of which there is no metric, NAME_accuracy or NAME"):
        check_task(f"{surest}:Surest")
    check_task(f"{surest}:Honest")
