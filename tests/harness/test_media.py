"""What is shown of a trial, against the frames and counts that its stages left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.media import MARGIN, MOST_BYTES, RIGHT, WRONG, Confusion, Picture, heat, media_of
from trainables.store import Store, Workplace

SIDE = 4


def grey(*shape: int) -> Tensor:
    """Frames (*shape, SIDE, SIDE, 3), each of a grey of its own: 0, 1, 2, ..."""
    count = int(np.prod(shape))
    return torch.arange(count, dtype=torch.uint8).reshape(*shape, 1, 1, 1).expand(*shape, SIDE, SIDE, 3).contiguous()


def greys(picture: Picture, across: int) -> list[list[int]]:
    """The grey in the middle of each frame of a picture with so many in a row."""
    side = picture.pixels.shape[1] // across
    return picture.pixels[side // 2 :: side, side // 2 :: side, 0].tolist()


def publish(store: Path, kind: str, tensors: dict[str, Tensor], files: dict[str, Any]) -> str:
    workplace = Workplace(Store(store), kind, "key")
    return str(workplace.publish(settings={}, metrics={}, tensors={"pictures": tensors}, files=files).directory)


VIDEOS = {
    "classes": ["a", "b"],
    "test": {
        "name": ["v0", "v1", "v2"],
        "label": [0, 1, 1],
        "predicted": [1, 0, 1],
        "score": [0.9, 0.8, 0.7],
        "label_score": [0.1, 0.2, 0.7],
    },
}
CONFUSION = {"classes": ["a", "b"], "validation": [[9, 9], [9, 9]], "test": [[0, 1], [1, 3]]}


def test_what_each_stage_has_to_show(tmp_path: Path) -> None:
    """Every clip is a row of frames; names are those of the stage's metrics, also of several sets."""
    files = {"confusion.json": CONFUSION, "videos.json": VIDEOS}
    artifacts = {
        "pretext": publish(tmp_path, "pretext", {"samples": grey(2, 2, 3)}, {}),
        "evaluate/ucf101": publish(
            tmp_path, "evaluate", {"hardest": grey(2, 3), "hardest_numbers": torch.tensor([1, 0])}, files
        ),
        "features": publish(tmp_path, "features", {}, {}),
    }
    samples, confusion, hardest = media_of(artifacts)
    assert isinstance(samples, Picture) and samples.name == "pretext/samples"
    assert samples.pixels.shape == (4 * SIDE, 3 * SIDE, 3)
    assert greys(samples, 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert confusion == Confusion("evaluate/confusion/ucf101", ["a", "b"], [[0, 1], [1, 3]])
    assert isinstance(hardest, Picture) and hardest.name == "evaluate/hardest/ucf101"
    assert greys(hardest, 3) == [[0, 1, 2], [3, 4, 5]]
    assert hardest.caption.splitlines()[1:] == ["v1: b, taken for a", "v0: a, taken for b"]


def test_neighbours_are_framed_by_whether_they_are_of_the_class(tmp_path: Path) -> None:
    said = {
        "classes": ["a", "b"],
        "gallery": {"name": ["g0", "g1"], "label": [1, -1]},
        "test": {"name": ["v0", "v1"], "label": [0, 1], "nearest": [[1, 0], [0, 1]], "similarity": [[1, 0], [1, 0]]},
    }
    tensors = {"queries": grey(1, 3), "query_numbers": torch.tensor([1]), "neighbours": grey(1, 2, 3)}
    (shown,) = media_of({"retrieval": publish(tmp_path, "retrieval", tensors, {"neighbours.json": said})})
    assert isinstance(shown, Picture) and shown.name == "retrieval/nearest"
    assert shown.caption.splitlines()[1:] == ["v1 (b): b, no class"]
    width = SIDE + 2 * MARGIN
    assert shown.pixels.shape == (width, 3 * SIDE + 2 * MARGIN + 2 * width, 3)
    assert [tuple(shown.pixels[0, column]) for column in (-width - 1, -1)] == [RIGHT, WRONG]
    assert [shown.pixels[width // 2, column, 0] for column in (-width - width // 2, -width // 2)] == [1, 4], "the middle frames"


def test_what_is_missing_or_damaged_is_left_out(tmp_path: Path) -> None:
    whole = publish(tmp_path, "pretext", {"samples": grey(1, 1, 2)}, {})
    damaged = publish(tmp_path, "finetune", {"samples": grey(1, 1, 2)}, {"confusion.json": CONFUSION})
    path = Path(damaged) / "pictures.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    found = list(media_of({"gone": str(tmp_path / "gone" / "key"), "finetune": damaged, "pretext": whole}))
    assert [one.name for one in found] == ["finetune/confusion", "pretext/samples"]


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    large = torch.full((1, 1, 2, 1024, 1024, 3), 7, dtype=torch.uint8)
    (shown,) = media_of({"pretext": publish(tmp_path, "pretext", {"samples": large}, {})})
    assert isinstance(shown, Picture)
    assert MOST_BYTES / 4 < shown.pixels.nbytes <= MOST_BYTES and (shown.pixels == 7).all()


def test_a_confusion_is_drawn_by_the_shares_of_each_class() -> None:
    drawn = heat(Confusion("", "abc", [[1, 3, 0], [0, 2, 0], [0, 0, 0]]))[::85, ::85, 0]
    assert drawn[:3, :3].tolist() == [[64, 191, 0], [0, 255, 0], [0, 0, 0]]
