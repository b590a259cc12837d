"""Finetuning with frozen layers: what stays to the bit, and what is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.models import make_backbone
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import BACKBONES, ExperimentSettings, with_values
from trainables.stages.finetune import Classifier
from trainables.store import Store

LAYERS = {
    "r2plus1d": ("stem.", "layer1.", "layer2.", "layer3.", "layer4."),
    "c3d": ("layer1.", "layer2.", "layer3.", "layer4.", "layer5."),
}


@pytest.mark.parametrize(("family", "frozen"), [("r2plus1d", 0), ("r2plus1d", 2), ("r2plus1d", 5), ("c3d", 3)])
def test_frozen_layers_keep_weights_and_statistics_and_the_others_change(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], family: str, frozen: int
) -> None:
    """From the pretext stage's artifact to finetuning's, every tensor: leading layers are the same to the bit, running
    statistics and counts of batches included; all parameters and statistics of the others are not."""
    values: dict[str, Any] = {"recipe": "pretext", "backbone.family": family}
    values |= {"finetune.frozen_layers": frozen, "finetune.learning_rate": 0.1}
    values |= {"video.crop": 16, "pretext.epochs": 1, "finetune.epochs": 1, "evaluation.measures": ["finetune"]}
    settings = with_values(tiny, values)
    place = runtime()
    result = run_experiment(Experiment(settings, 0), place, lambda line: None)
    pretext, finetune = (Store(place.store).find(kind, result.stages[kind]) for kind in ("pretext", "finetune"))
    assert pretext is not None
    assert finetune is not None
    before, after = pretext.tensors(), finetune.tensors()
    assert {name.removeprefix("network.") for name in after} - before.keys() == {"fc.1.weight", "fc.1.bias"}
    for name, value in before.items():
        kept = name.startswith(LAYERS[family][:frozen])
        assert torch.equal(after[f"network.{name}"], value) == kept, name


@pytest.mark.parametrize("family", sorted(BACKBONES))
def test_every_network_has_five_layers_that_cover_it(tiny: ExperimentSettings, family: str) -> None:
    """All frozen, only the last linear layer is left to train."""
    settings = with_values(tiny, {"backbone.family": family, "finetune.frozen_layers": 5, "video.crop": 16})
    assert len(make_backbone(settings.backbone).layers()) == 5
    classifier = Classifier(settings, 6).train()
    assert {name for name, parameter in classifier.named_parameters() if parameter.requires_grad} == {
        "network.fc.1.weight",
        "network.fc.1.bias",
    }
    norms = [module for module in classifier.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    assert norms
    assert not any(module.training for module in norms)
    assert classifier.network.fc.training, "dropout stays on"
