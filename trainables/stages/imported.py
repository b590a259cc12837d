"""Weights of a file from elsewhere, under the names that they have here: what the recipe `imported` and teachers start from.

Leaves the convolutions of the backbone, or of a teacher's network; or, as `imported_classifier`, the whole backbone with its
own last layer, which is measured as it is (`evaluation.measures` as_given).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainables.models import BACKBONE, find_backbone, find_encoder, make_network, network_reads
from trainables.models.imported import PIXELS, Imported, described, imported
from trainables.settings import ExperimentSettings
from trainables.stages.finetune import Classifier, named_in_backbone, named_in_classifier
from trainables.stages.kind import NEGLIGIBLE, Cost, Counts, Kind, StartError
from trainables.stages.work import Outcome, Work
from trainables.video.videos import VideoSet


def run(network: str, work: Work) -> Outcome:
    """Raises StartError."""
    found = _given(network, work.settings, work.weights_files)
    _check(network, work.settings, found, _convolutions(network, work.settings))
    return Outcome({}, tensors={"weights": found.convolutions})


def run_classifier(work: Work) -> Outcome:
    """Raises StartError."""
    found = _given(BACKBONE, work.settings, work.weights_files)
    _check_whole(found, work.settings, work.videos)
    return Outcome({}, tensors={"weights": named_in_classifier(found.tensors)})


def _check_whole(found: Imported, settings: ExperimentSettings, videos: VideoSet) -> None:
    """Raises StartError where a file is of another network, or its last layer of other classes."""
    check_classes(found, videos)
    with torch.device("meta"):
        expected = Classifier(settings, len(videos.classes)).state_dict()
    _check(BACKBONE, settings, found, named_in_backbone(expected), convolutions=False)


def check_classes(found: Imported, videos: VideoSet) -> None:
    """Raises StartError where a last layer is not of the data set's classes, in their order as far as that is known."""
    last = found.tensors.get("fc.weight")
    has = "no last layer" if last is None else f"a last layer of {len(last)} classes"
    if last is None or len(last) != len(videos.classes):
        raise StartError(f"{found.path} has {has}, and {videos.dataset} has {len(videos.classes)}: as_given needs the same")
    for number, (theirs, ours) in enumerate(zip(found.classes or (), videos.classes, strict=False)):
        if theirs != ours:
            raise StartError(f"{found.path}: class {number} is '{theirs}', and of {videos.dataset} it is '{ours}'")


def _check_start(network: str, settings: ExperimentSettings, files: Mapping[str, Path], videos: VideoSet) -> None:
    """Raises StartError where weights are not given, not readable, or of another network."""
    found = _given(network, settings, files, values=False)
    _check(network, settings, found, _convolutions(network, settings))


def _check_start_whole(settings: ExperimentSettings, files: Mapping[str, Path], videos: VideoSet) -> None:
    """And where the last layer is of other classes."""
    _check_whole(_given(BACKBONE, settings, files, values=False), settings, videos)


def _given(network: str, settings: ExperimentSettings, files: Mapping[str, Path], values: bool = True) -> Imported:
    name = _name(network, settings)
    if name not in files:
        asked = "recipe" if network == BACKBONE else "teacher_finetune.transferred_from"
        raise StartError(f"{asked} = imported: give the weights with --weights {name}=FILE")
    try:
        return imported(files[name]) if values else described(files[name])
    except ValueError as error:
        raise StartError(str(error)) from None


def _check(
    network: str, settings: ExperimentSettings, found: Imported, expected: Mapping[str, Tensor], convolutions: bool = True
) -> None:
    name = _name(network, settings)
    made = find_backbone(name) if network == BACKBONE else find_encoder(name)
    form = ", ".join(f"{setting} = {value}" for setting, value in made.form(expected).items())
    try:
        found.check(expected, f"{name}, {form}" if form else name, convolutions)
    except ValueError as error:
        raise StartError(str(error)) from None


def _convolutions(network: str, settings: ExperimentSettings) -> dict[str, Tensor]:
    with torch.device("meta"):
        state: dict[str, Tensor] = make_network(network, settings).state_dict()
    return state


def _name(network: str, settings: ExperimentSettings) -> str:
    """By which --weights names it."""
    return settings.backbone.family if network == BACKBONE else network


def _reads(network: str, settings: ExperimentSettings) -> tuple[str, ...]:
    """No pixels: the network sees none here."""
    return tuple(name for name in network_reads(network, settings) if name != PIXELS)


def _reads_of_classifier(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*_reads(BACKBONE, settings), "finetune.dropout", "finetune.frozen_layers")


def _cost(settings: ExperimentSettings, videos: Counts) -> Cost:
    return NEGLIGIBLE


@functools.cache
def kind_of(network: str) -> Kind:
    """`imported` for the backbone, else `imported_<network>`."""
    return Kind(
        "imported" if network == BACKBONE else f"imported_{network}",
        1,
        functools.partial(run, network),
        functools.partial(_reads, network),
        (),
        _cost,
        random=False,
        starts_from=functools.partial(_name, network),
        check=functools.partial(_check_start, network),
        where=__name__,
    )


KIND_OF_CLASSIFIER = Kind(
    "imported_classifier",
    1,
    run_classifier,
    _reads_of_classifier,
    ("test",),
    _cost,
    random=False,
    starts_from=functools.partial(_name, BACKBONE),
    check=_check_start_whole,
    where=__name__,
)
