"""A network on its own: a directory with which others use it, without this program, and which this program reads back.

weights.safetensors   the weights, by torchvision's names where torchvision has the network
network.pt2           the same network as a program of torch.export: clips as bytes to logits, or to features
model.json            what it is: network, classes, pixels, geometry of clips, accuracy, settings, where it comes from
loader.py             uses both, with torch and safetensors alone
README.md             the same for people
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.files import write_atomically
from trainables.model_card import CLASSIFIER, IMPORTED, LOADER, card
from trainables.models import BACKBONE, Backbone, make_network, network_reads
from trainables.models.imported import PIXELS
from trainables.models.weights import mismatch, parameter_count
from trainables.models.weights_files import OURS, read_weights, state_of
from trainables.settings import ExperimentSettings, flat, is_import_path, is_in_file, names_below, with_values
from trainables.stages.finetune import named_in_backbone
from trainables.tasks import find_task
from trainables.video.augmentation import in_form

ABOUT, WEIGHTS, PROGRAM = "model.json", "weights.safetensors", "network.pt2"
FORMAT = 1
CLOSE = 1e-5
"""How much logits of the program may differ from those of the network, absolutely and relatively."""
OF_STAGE = {
    "finetune": BACKBONE,
    "pretext": BACKBONE,
    "auxskd": BACKBONE,
    "imported": BACKBONE,
    IMPORTED: BACKBONE,
    "student": "alexnet",
}


class ExportError(ValueError):
    """There is no network to write or to read; the message says why."""


@dataclass(frozen=True)
class Model:
    """A network, with what it takes to use it. name: BACKBONE or an encoder's. network: clips (B, 3, K, H, W) to logits, or to
    features where there are no classes. about: further content of model.json."""

    name: str
    network: nn.Module
    settings: ExperimentSettings
    classes: tuple[str, ...] | None
    about: Mapping[str, Any]

    @property
    def family(self) -> str:
        """By which `--weights` names the network."""
        return self.settings.backbone.family if self.name == BACKBONE else self.name

    def for_features(self) -> nn.Module:
        """The same network, which gives what its last layer sees."""
        if isinstance(self.network, Backbone):
            self.network.fc = nn.Identity()
            return self.network
        return _Features(self.network)


class _Features(nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clips: Tensor) -> Tensor:
        features: Tensor = self.encoder.outputs(clips, 1).features
        return features


def network_of(stage: str) -> str:
    """The network that a kind of stage leaves: BACKBONE or an encoder's name. Raises ExportError, SettingsError."""
    kind = stage.partition("/")[0]
    if kind in OF_STAGE:
        return OF_STAGE[kind]
    if kind.startswith("imported_"):
        given = kind.removeprefix("imported_")
        raise ExportError(
            f"stage {stage} has the convolutions that --weights {given}=FILE gave: that file has all of the network"
        )
    name = kind.removesuffix(CLASSIFIER)
    if name == kind:
        raise ExportError(f"stage {stage} leaves no network")
    return name if name in ("vgg", "prednet") else find_task(name).encoder


def model_of(
    stage: str,
    weights: Mapping[str, Tensor],
    settings: ExperimentSettings,
    classes: Sequence[str] | None,
    about: Mapping[str, Any],
) -> Model:
    """The network that a stage left. Raises ExportError where its weights are of another form."""
    name = network_of(stage)
    named = named_in_backbone(weights) if stage.partition("/")[0] in ("finetune", IMPORTED) else dict(weights)
    return _made(name, named, settings, classes, about)


def _made(
    name: str,
    weights: Mapping[str, Tensor],
    settings: ExperimentSettings,
    classes: Sequence[str] | None,
    about: Mapping[str, Any],
) -> Model:
    with torch.random.fork_rng([]):
        network = make_network(name, settings, None if classes is None else len(classes))
    if problem := mismatch(dict(weights), network.state_dict()):
        raise ExportError(f"weights of another network than {name}: {problem}")
    network.load_state_dict(dict(weights))
    seen = settings if name == BACKBONE else settings.model_copy(update={"video": network.seen(settings.video)})
    return Model(name, network.eval(), seen, None if classes is None else tuple(classes), about)


class Seeing(nn.Module):
    """A network that takes clips as bytes, (B, K, H, W, 3) RGB, and brings them into its form itself."""

    def __init__(self, network: nn.Module, pixels: str) -> None:
        super().__init__()
        self.network, self.pixels = network, pixels

    def forward(self, clips: Tensor) -> Tensor:
        seen = in_form(clips.to(torch.float32).div_(255), self.pixels)
        result: Tensor = self.network(seen.permute(0, 4, 1, 2, 3).contiguous())
        return result


def write_model(model: Model, directory: Path) -> dict[str, Any]:
    """Write the directory, whole or not at all, and give the content of model.json.

    Raises ExportError where the directory is there and not empty, or the program's logits differ; OSError.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ExportError(f"{directory} is there already; name a new directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        about = _write(model, building)
        building.chmod(0o755)
        (building / WEIGHTS).chmod(0o644)
        building.replace(directory)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return about


def _write(model: Model, directory: Path) -> dict[str, Any]:
    video = model.settings.video
    network = {setting: flat(model.settings)[setting] for setting in _belonging(model)}
    header = {"settings": network, **({"classes": list(model.classes)} if model.classes else {})}
    weights = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    save_file(weights, directory / WEIGHTS, {"format": "pt", OURS: json.dumps(header)})
    about = {
        "format": FORMAT,
        "network": model.family,
        "parameters": parameter_count(model.network),
        "classes": None if model.classes is None else list(model.classes),
        "pixels": video.pixels,
        "clip": {"frames": video.clip_frames, "height": video.height, "width": video.width, "crop": video.crop},
        "evaluation": {"clips": model.settings.evaluation.clips, "average": model.settings.evaluation.average},
        **model.about,
        "program": {"file": PROGRAM, "torch": torch.__version__, "largest_difference": _write_program(model, directory)},
        "settings": flat(model.settings),
    }
    write_atomically(directory / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    write_atomically(directory / "loader.py", LOADER)
    write_atomically(directory / "README.md", card(about, torchvisions_name(model)))
    return about


def _belonging(model: Model) -> list[str]:
    read = network_reads(model.name, model.settings, of_clips=True)
    return names_below(list(flat(model.settings)), (*read, PIXELS))


def torchvisions_name(model: Model) -> str | None:
    """The function of torchvision that makes this network; None where it has none."""
    backbone, alexnet = model.settings.backbone, model.settings.alexnet
    if model.name == BACKBONE and (backbone.depth, backbone.width) == (18, 64) and backbone.family in ("r2plus1d", "r3d"):
        return f"torchvision.models.video.{backbone.family}_18"
    usual = alexnet == type(alexnet)().model_copy(update={"dropout": alexnet.dropout})
    return "torchvision.models.alexnet" if model.name == "alexnet" and usual else None


def _write_program(model: Model, directory: Path) -> float:
    """Write the program; gives by how much what it says of a random clip differs from the network. Raises ExportError."""
    video = model.settings.video
    seeing = Seeing(model.network, video.pixels).eval()
    random = torch.Generator().manual_seed(0)

    def clips(count: int) -> Tensor:
        size = (count, video.clip_frames, video.crop, video.crop, 3)
        return torch.randint(0, 256, size, dtype=torch.uint8, generator=random)

    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad():
        program = torch.export.export(seeing, (clips(2),), dynamic_shapes=(batch,))
        torch.export.save(program, directory / PROGRAM)
        shown = clips(1)
        expected, found = seeing(shown), torch.export.load(directory / PROGRAM).module()(shown)
    largest = float((found - expected).abs().max())
    if not torch.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
        raise ExportError(f"{PROGRAM} says something else than the network: it differs by up to {largest:.2g}")
    return largest


def read_model(directory: Path) -> Model:
    """What `write_model` wrote. Raises ExportError naming the file that is missing or not readable."""
    try:
        about = json.loads((directory / ABOUT).read_bytes())
        if about["format"] > FORMAT:
            raise ExportError(f"{directory / ABOUT} was written by a newer version of auxgraph, which is needed to read it")
        words = [part for value in (*about["settings"].values(), about["network"]) for part in str(value).split("+")]
        if named := [word for word in words if is_in_file(word) or is_import_path(word)]:
            raise ExportError(f"{directory / ABOUT} names a program, {named[0]}, which would be run: nothing is taken from it")
        settings = with_values(ExperimentSettings(), about["settings"])
        classes, network = about["classes"], about["network"]
    except ExportError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise ExportError(f"{directory} is no exported network: {ABOUT}: {said}") from None
    try:
        weights, _ = state_of(directory / WEIGHTS, read_weights(directory / WEIGHTS).content)
    except ValueError as error:
        raise ExportError(str(error)) from None
    return _made(BACKBONE if network == settings.backbone.family else network, weights, settings, classes, about)
