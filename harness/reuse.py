"""Whether a result in the store counts when the code that made it was other code.

Every artifact says what code made it (`code.json`). The same code always counts. Other code counts where both are the code of a
commit or of a version: then the stages' versions say whether results are comparable, and that it is used is said. Where files
were edited since, it does not count: the stage runs again, and its result lies beside the other, which stays. Results of an
earlier version of a stage never count, which is said, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from trainables.pipeline import Stage, code_of_artifact, digest_of
from trainables.source import EDITED, Code
from trainables.store import DamagedArtifact, Store

Policy = Literal["auto", "same", "any"]
MODULES_SHOWN = 3


@dataclass(frozen=True)
class _Finding:
    """Results of other code: of which kind of stage, by what code, what differs, and whether they count."""

    kind: str
    state: str
    changed: tuple[str, ...]
    counts: bool


@dataclass
class Reuse:
    """Settles which results of a store count, and remembers what was found.

    fresh: of kinds of stage that were to be made afresh, how often by now. Each time the results, and those of what follows
    from them, lie beside the earlier ones.
    """

    store: Store
    policy: Policy
    fresh: Mapping[str, int] = field(default_factory=dict)
    found: dict[_Finding, set[str]] = field(default_factory=dict)
    outdated: dict[tuple[str, int, int], set[str]] = field(default_factory=dict)
    """Keys of stages that an earlier version made, by kind, that version and the present one."""

    def settle(self, stage: Stage) -> Stage:
        """The stage under the key at which its result counts, or is to be made."""
        if times := self.fresh.get(stage.kind):
            return replace(stage, variant=f"{stage.code.digest}, afresh {times}")
        variant = replace(stage, variant=stage.code.digest)
        if self.store.find(variant.kind, variant.key) is not None:
            return variant
        artifact = self.store.find(stage.kind, stage.key)
        if artifact is None:
            self._look_for_earlier_versions(stage)
            return stage
        try:
            before = code_of_artifact(artifact)
        except DamagedArtifact:  # whoever needs it sets it aside, and makes it again
            return stage
        if before is not None and before.digest == stage.code.digest:
            return stage
        counts = self._counts(before, stage.code)
        changed = tuple(stage.code.changed(before.modules)) if before is not None else ()
        state = before.state if before is not None else "an earlier version"
        self.found.setdefault(_Finding(stage.kind, state, changed, counts), set()).add(stage.key)
        return replace(stage, accepted=digest_of(before)) if counts else variant

    def _look_for_earlier_versions(self, stage: Stage) -> None:
        now = stage.declared.version
        for version in range(now - 1, 0, -1):
            earlier = replace(stage, declared=replace(stage.declared, version=version))
            if self.store.find(earlier.kind, earlier.key) is not None:
                self.outdated.setdefault((stage.kind, version, now), set()).add(earlier.key)
                return

    def _counts(self, before: Code | None, now: Code) -> bool:
        if self.policy != "auto" or before is None:
            return self.policy != "same"
        if now.elsewhere(now.changed(before.modules)):
            return False
        return EDITED not in (before.state, now.state) and before.state != now.state

    def notes(self) -> Iterator[str]:
        """What was found since this was last asked, in words."""
        for finding, keys in self.found.items():
            names = ", ".join(finding.changed[:MODULES_SHOWN]) + (", ..." if len(finding.changed) > MODULES_SHOWN else "")
            what = f"{_results(keys)} of stage {finding.kind} by other code ({finding.state}"
            what += f"; differs in {names})" if names else ")"
            if finding.counts:
                yield f"{what}: used; --code same runs the stage again"
            else:
                yield f"{what}: not used, the stage runs again; --code any uses what is there"
        for (kind, version, now), keys in self.outdated.items():
            yield f"{_results(keys)} of stage {kind} by its version {version}: not used, the stage runs again by version {now}"
        self.found.clear()
        self.outdated.clear()


def _results(keys: Collection[str]) -> str:
    return f"{len(keys)} result{'s' if len(keys) > 1 else ''}"
