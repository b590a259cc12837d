"""Weights of a file from elsewhere, under the names that they have here: what the recipe `imported` starts from.

Leaves the convolutions of the backbone; or, as `imported_classifier`, the whole network with its own last layer, which is
measured as it is (`evaluation.measures` as_given).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainables.models import BACKBONE, find_backbone, make_backbone, network_reads
from trainables.models.imported import PIXELS, Imported, described, imported
from trainables.settings import ExperimentSettings
from trainables.stages.finetune import Classifier, named_in_backbone, named_in_classifier
from trainables.stages.kind import NEGLIGIBLE, Cost, Counts, Kind, StartError
from trainables.stages.work import Outcome, Work
from trainables.video.videos import DataError, VideoSet


def run(work: Work) -> Outcome:
    """Raises StartError."""
    found = _given(work.settings, work.weights_files)
    _check(found, _convolutions(work.settings), _family(work.settings))
    return Outcome({}, tensors={"weights": found.convolutions})


def run_classifier(work: Work) -> Outcome:
    """Raises StartError, and DataError where the last layer tells other classes apart than the data set has."""
    found = _given(work.settings, work.weights_files)
    check_classes(found, work.videos)
    with torch.device("meta"):
        expected = Classifier(work.settings, len(work.videos.classes)).state_dict()
    _check(found, named_in_backbone(expected), _family(work.settings), convolutions=False)
    return Outcome({}, tensors={"weights": named_in_classifier(found.tensors)})


def check_classes(found: Imported, videos: VideoSet) -> None:
    """Raises DataError where a last layer is not of the data set's classes, in their order as far as that is known."""
    last = found.tensors.get("fc.weight")
    has = "no last layer" if last is None else f"a last layer of {len(last)} classes"
    if last is None or len(last) != len(videos.classes):
        raise DataError(f"{found.path} has {has}, and {videos.dataset} has {len(videos.classes)}: as_given needs the same")
    for number, (theirs, ours) in enumerate(zip(found.classes or (), videos.classes, strict=False)):
        if theirs != ours:
            raise DataError(f"{found.path}: class {number} is '{theirs}', and of {videos.dataset} it is '{ours}'")


def check(settings: ExperimentSettings, files: Mapping[str, Path]) -> None:
    """Raises StartError where weights are not given, not readable, or of another network than the backbone."""
    _check(_given(settings, files, values=False), _convolutions(settings), settings.backbone.family)


def _given(settings: ExperimentSettings, files: Mapping[str, Path], values: bool = True) -> Imported:
    family = settings.backbone.family
    if family not in files:
        raise StartError(f"recipe = imported: give the weights of the backbone with --weights {family}=FILE")
    try:
        return imported(files[family]) if values else described(files[family])
    except ValueError as error:
        raise StartError(str(error)) from None


def _check(found: Imported, expected: Mapping[str, Tensor], family: str, convolutions: bool = True) -> None:
    form = {"backbone.family": family, **find_backbone(family).form(expected)}
    try:
        found.check(expected, ", ".join(f"{name} = {value}" for name, value in form.items()), convolutions)
    except ValueError as error:
        raise StartError(str(error)) from None


def _convolutions(settings: ExperimentSettings) -> dict[str, Tensor]:
    with torch.device("meta"):
        return make_backbone(settings.backbone).state_dict()


def _family(settings: ExperimentSettings) -> str:
    return settings.backbone.family


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    """No pixels: the network sees none here."""
    return tuple(name for name in network_reads(BACKBONE, settings) if name != PIXELS)


def _reads_of_classifier(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*_reads(settings), "finetune.dropout", "finetune.frozen_layers")


def _cost(settings: ExperimentSettings, videos: Counts) -> Cost:
    return NEGLIGIBLE


KIND = Kind("imported", 1, run, _reads, (), _cost, random=False, starts_from=_family, check=check, where=__name__)
KIND_OF_CLASSIFIER = Kind(
    "imported_classifier",
    1,
    run_classifier,
    _reads_of_classifier,
    ("test",),
    _cost,
    random=False,
    starts_from=_family,
    check=check,
    where=__name__,
)
