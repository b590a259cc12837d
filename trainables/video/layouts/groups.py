"""Parts held out of a dataset by group, so that clips cut from one film never lie on both sides."""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence

from trainables.video.videos import Video


def carve_validation(videos: Sequence[Video], fraction: float) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Split training videos into (train, validation) by group.

    In each class the groups are put in the order of the sha256 of their names and max(1, round(fraction * n)) of them
    are held out. A group that several classes share is held out of all of them, and no class loses its last group.
    """
    held = hold_out([(video.label, video.group) for video in videos], fraction) if fraction else set()
    train = tuple(video for video in videos if video.group not in held)
    return train, tuple(video for video in videos if video.group in held)


def hold_out(members: Iterable[tuple[Hashable, str]], fraction: float, salt: str = "") -> set[str]:
    """The groups to hold out of the (class, group) pairs `members`. Another `salt` chooses other groups."""
    groups: dict[Hashable, set[str]] = {}
    classes: dict[str, set[Hashable]] = {}
    for label, group in members:
        groups.setdefault(label, set()).add(group)
        classes.setdefault(group, set()).add(label)
    left = {label: len(own) for label, own in groups.items()}
    held: set[str] = set()
    for label, own in groups.items():
        kept = len(own) - max(1, round(fraction * len(own)))
        for group in sorted(own, key=_ranked(salt)):
            if left[label] <= kept:
                break
            if group not in held and all(left[other] > 1 for other in classes[group]):
                held.add(group)
                for other in classes[group]:
                    left[other] -= 1
    return held


def _ranked(salt: str) -> Callable[[str], str]:
    return lambda group: hashlib.sha256((salt + group).encode()).hexdigest()
