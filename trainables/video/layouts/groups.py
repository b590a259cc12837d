"""Parts held out of a dataset by whole groups, so that clips cut from one film never lie on both sides.

Groups are chosen so that of every class as near to the asked fraction is held out as whole groups allow: greedily, in the
manner of scikit-learn's StratifiedGroupKFold, and then by single exchanges until none brings the classes nearer. Ties go by
the sha256 of the groups' names, so the choice depends on what a dataset holds and on nothing else.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_NONE_HELD = 0.25
"""What it costs to hold nothing of a class out, above the distance from the fraction: as much as half the class too many."""
_FAR = 0.5
"""How far from the fraction, as a share of it, a warning begins."""
_EXCHANGES = 100_000
"""The most exchanges that are weighed, in about a second."""
_GAIN = 1e-9

Member = tuple[str, str]
"""The class and the group of a video."""


def hold_out(members: Iterable[Member], fraction: float, salt: str = "") -> frozenset[str]:
    """The groups to hold out of `members`, one for each video. Another `salt` breaks ties otherwise.

    No class loses its last group, and one of two groups or more loses some, unless that took far too many of its videos.
    """
    of_group: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for label, group in members:
        of_group[group][label] += 1
        total[label] += 1
    alike: dict[tuple[tuple[str, int], ...], list[str]] = defaultdict(list)
    for group in sorted(of_group, key=lambda group: hashlib.sha256((salt + group).encode()).hexdigest()):
        alike[tuple(sorted(of_group[group].items()))].append(group)
    kinds = [_Kind(dict(videos), groups) for videos, groups in alike.items()]
    by_size = sorted(kinds, key=lambda kind: -sum(kind.videos.values()))
    found = [_Choice(dict(sorted(total.items())), fraction, order).made() for order in (by_size, by_size[::-1], kinds)]
    return min(found, key=lambda choice: round(choice.cost(), 9)).held()


def said_of(part: str, members: Sequence[Member], held: Collection[str], fraction: float) -> str:
    """A line on what was asked for and what holding `held` out as the part reached; a warning where they are far apart."""
    total = Counter(label for label, _ in members)
    out = Counter(label for label, group in members if group in held)
    shares = {label: out[label] / total[label] for label in total}
    least, most, fewest = min(shares, key=_by(shares)), max(shares, key=_by(shares)), min(total, key=_by(total - out))
    reached = sum(out.values()) / len(members)
    videos, groups = _number(sum(out.values()), "video"), _number(len(held), "group")
    said = f"{part}: {fraction:.0%} asked for, {reached:.1%} held out ({videos}, {groups})"
    if len(total) > 1:
        said += f", of classes {shares[least]:.1%} ({least}) to {shares[most]:.1%} ({most})"
        said += f"; the smallest, {fewest}, keeps {total[fewest] - out[fewest]} training videos"
    far = max(abs(share - fraction) for share in shares.values()) > _FAR * fraction
    return f"far from what was asked for, as groups stay whole: {said}" if far else said


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _by(numbers: Mapping[str, float]) -> Callable[[str], tuple[float, str]]:
    return lambda label: (numbers.get(label, 0), label)


@dataclass(frozen=True, eq=False)
class _Kind:
    """Groups with the same number of videos of each class, of which it does not matter which is held out."""

    videos: dict[str, int]
    groups: list[str]


@dataclass
class _Choice:
    """How many groups of each kind are held out. `total` counts all videos of each class."""

    total: Mapping[str, int]
    fraction: float
    kinds: Sequence[_Kind]
    taken: dict[_Kind, int] = field(default_factory=dict)
    out: Counter[str] = field(default_factory=Counter)

    def cost(self) -> float:
        """The sum over classes of the squared distance of the share that is held out from the fraction."""
        return sum(self._cost(label, self.out[label]) for label in self.total)

    def held(self) -> frozenset[str]:
        return frozenset(group for kind, number in self.taken.items() for group in kind.groups[:number])

    def made(self) -> "_Choice":
        self.taken = dict.fromkeys(self.kinds, 0)
        for kind in self.kinds:
            while self._change(kind, None):
                pass
        weighed = 0
        better = True
        while better:
            better = False
            for taken, left in self._exchanges():
                better |= self._change(taken, left)
                weighed += 1
                if weighed == _EXCHANGES:
                    return self
        return self

    def _exchanges(self) -> Iterator[tuple[_Kind | None, _Kind | None]]:
        """One more of a kind, one less, and one instead of one of another kind with a class in common."""
        with_class: dict[str, list[_Kind]] = defaultdict(list)
        for kind in self.kinds:
            yield kind, None
            yield None, kind
            for label in kind.videos:
                with_class[label].append(kind)
        for kind in self.kinds:
            for other in dict.fromkeys(other for label in kind.videos for other in with_class[label]):
                yield kind, other

    def _change(self, more: _Kind | None, less: _Kind | None) -> bool:
        """Hold out one more group of a kind and one less of another if that brings the classes nearer; whether it does."""
        if (more and self.taken[more] == len(more.groups)) or (less and self.taken[less] == 0):
            return False
        change = dict(more.videos) if more else {}
        for label, number in less.videos.items() if less else ():
            change[label] = change.get(label, 0) - number
        gain = sum(self._cost(label, self.out[label]) - self._cost(label, self.out[label] + n) for label, n in change.items())
        if gain < _GAIN:
            return False
        for label, number in change.items():
            self.out[label] += number
        for kind, step in ((more, 1), (less, -1)):
            if kind:
                self.taken[kind] += step
        return True

    def _cost(self, label: str, out: int) -> float:
        if out == self.total[label]:
            return float("inf")
        return (out / self.total[label] - self.fraction) ** 2 + (_NONE_HELD if out == 0 else 0)
