"""Weights from elsewhere under the names of the networks here: whose they are, which network fits, what else belongs to them.

What is known of each release is data, a file each in `released/`:

    title, source   whose files these are
    taken           a regular expression: the names of a file that are the network's, as its first group; others are left out
    with, beside    a name that such a file has as well, and what lies beside its state dict; to tell releases apart
    left_out        how names of heads begin that no network here has
    layers          how its networks name their layers, a file of `released/layers/`: by network a `sign`, a name that only
                    it has (`unless`: one that it has not), and substitutions that make the names those of the network here
    pixels          the form of `video.pixels` that they were trained with, for all networks or by network
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from trainables.models import find_backbone, find_encoder
from trainables.models.weights import HEADS, mismatch
from trainables.models.weights_files import read_weights, state_of
from trainables.settings import BACKBONES, SettingsError, check_values

RELEASES = ("rspnet", "auxskd", "vspp", "video_pace", "vcop", "torchvision", "ours")
"""In the order in which files are recognised: the first whose names a file has."""
OURS = "ours"
PIXELS = "video.pixels"
_DIRECTORY = Path(__file__).with_name("released")


@dataclass(frozen=True)
class Imported:
    """Weights of a network by the names that it has here, a last layer included.

    title: whose they are. settings: those that belong to them, by dotted name: the form of the network, as far as shapes or
    their maker tell, and the pixels. classes: of the last layer, where that is known.
    """

    path: Path
    network: str
    title: str
    tensors: dict[str, Tensor]
    settings: Mapping[str, Any]
    classes: tuple[str, ...] | None = None

    def __str__(self) -> str:
        form = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in self._asked().items())
        return f"{self.network} ({form}), {self.title}" if form else f"{self.network}, {self.title}"

    @property
    def convolutions(self) -> dict[str, Tensor]:
        """All but the head."""
        return {name: value for name, value in self.tensors.items() if not name.startswith(HEADS)}

    def check(self, expected: Mapping[str, Tensor], of: str, convolutions: bool = True) -> None:
        """Raises ValueError naming the first key that is missing, unknown or of another shape, and which network would fit.

        expected: the state of the network that is to take them. of: what that is, for the message.
        """
        found = self.convolutions if convolutions else self.tensors
        wanted = {name: value for name, value in expected.items() if not (convolutions and name.startswith(HEADS))}
        if problem := mismatch(found, wanted):
            fits = " ".join(f"--set {name}={_as_typed(value)}" for name, value in self._asked().items())
            raise ValueError(f"{self.path}: weights of another network than {of}: {problem}; they are of {self}: {fits}")

    def _asked(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.items() if name != PIXELS}


def imported(path: Path) -> Imported:
    """The weights of a file. Raises ValueError naming the file: not readable, or of no network that is known here."""
    return _read(path)


def described(path: Path) -> Imported:
    """As `imported`, kept while the file does not change, without values: shapes alone."""
    try:
        seen = path.stat()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return _described(path, seen.st_mtime_ns, seen.st_size)


@functools.lru_cache(maxsize=16)
def _described(path: Path, changed: int, size: int) -> Imported:
    found = _read(path)
    return replace(found, tensors={name: value.to("meta") for name, value in found.tensors.items()})


def _read(path: Path) -> Imported:
    file = read_weights(path)
    state, beside = state_of(path, file.content)
    for name in (OURS,) if file.about else RELEASES:
        release = _release(name)
        if network := release.network_of(state, beside):
            tensors = dict(release.renamed(state, network))
            known = _known_of(path, network, file.about)
            try:
                settings = _settings_of(network, tensors, known, release)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}: the names of {network} are there, but not its layers ({error})") from None
            return Imported(path, network, release.title, tensors, settings, _classes_of(path, file.about))
    titles = "; ".join(_release(name).title for name in RELEASES)
    raise ValueError(f"{path}: weights of no network that is known here: its first key is '{min(state)}'; known: {titles}")


def _known_of(path: Path, network: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of ours says that its network and pixels are. Raises ValueError where that cannot be."""
    written = about.get("settings", {})
    if not isinstance(written, Mapping):
        raise ValueError(f"{path}: its header is damaged: settings are {written!r}")
    group = "backbone" if network in BACKBONES else network
    known = {name: value for name, value in written.items() if name.startswith(f"{group}.") or name == PIXELS}
    if network in BACKBONES and known:  # what was recognised: one that a file names would be imported, and so run
        known["backbone.family"] = network
    try:
        check_values(known)
    except SettingsError as error:
        raise ValueError(f"{path}: its header is damaged, or of another version of auxgraph: {error}") from None
    return known


def _classes_of(path: Path, about: Mapping[str, Any]) -> tuple[str, ...] | None:
    classes = about.get("classes")
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
        raise ValueError(f"{path}: its header is damaged: classes are {classes!r:.80}")
    return tuple(classes)


def _settings_of(network: str, tensors: Mapping[str, Tensor], known: Mapping[str, Any], release: Release) -> dict[str, Any]:
    family = {"backbone.family": network} if network in BACKBONES else {}
    made = find_backbone(network) if network in BACKBONES else find_encoder(network)
    form = made.form(tensors)
    for name, value in form.items():
        if isinstance(value, int) and known.get(name, value) != value:
            raise ValueError(f"its header says {name} = {known[name]}, and they say {value}")
    if known:
        return dict(known)
    pixels = release.pixels_of(network)
    return {**family, **form, **({PIXELS: pixels} if pixels else {})}


@dataclass(frozen=True)
class Release:
    """Whose files these are, and how to read one; see above."""

    title: str
    taken: re.Pattern[str]
    companion: re.Pattern[str] | None
    beside: str | None
    left_out: re.Pattern[str] | None
    layers: Mapping[str, Mapping[str, Any]]
    pixels: Mapping[str, str] | str | None

    def names(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Names in the file and, without what stands before it there, in the network."""
        for name in state:
            found = self.taken.fullmatch(name)
            if found and not (self.left_out and self.left_out.match(found[1])):
                yield name, found[1]

    def network_of(self, state: Mapping[str, Tensor], beside: frozenset[str]) -> str | None:
        """The network here whose weights a state holds; None where it is no file of this release."""
        if self.companion is not None and not any(map(self.companion.fullmatch, state)):
            return None
        if self.beside is not None and self.beside not in beside:
            return None
        own = [name for _, name in self.names(state)]
        for network, layers in self.layers.items():
            unless = layers.get("unless")
            if any(re.fullmatch(layers["sign"], name) for name in own) and unless not in own:
                return network
        return None

    def renamed(self, state: Mapping[str, Tensor], network: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors by the names that the network has here."""
        for name, own in self.names(state):
            for pattern, text in self.layers[network]["names"]:
                own = re.sub(pattern, text, own)
            yield own, state[name]

    def pixels_of(self, network: str) -> str | None:
        return self.pixels.get(network) if isinstance(self.pixels, Mapping) else self.pixels


@functools.cache
def _release(name: str) -> Release:
    content = yaml.safe_load((_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8"))

    def pattern(key: str) -> re.Pattern[str] | None:
        return re.compile(content[key]) if key in content else None

    layers = yaml.safe_load((_DIRECTORY / "layers" / f"{content['layers']}.yaml").read_text(encoding="utf-8"))
    taken = re.compile(content["taken"])
    return Release(
        content["title"], taken, pattern("with"), content.get("beside"), pattern("left_out"), layers, content.get("pixels")
    )


def _as_typed(value: Any) -> str:
    return f"'{list(value)}'" if isinstance(value, list | tuple) else str(value)
