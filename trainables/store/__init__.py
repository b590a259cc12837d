"""Artifacts of stages, addressed by content: `<store>/<kind>/<key>/`.

An artifact is a directory with `settings.json` (what made it), `metrics.jsonl` (one line per epoch), the stage's own files
(weights or features as safetensors) and `done.json`, which lists them with sizes and hashes. It is built elsewhere, flushed to
the disk and renamed, so that after a crash at any moment the store holds either the whole artifact or none. Until it is
published, the training state from which an unfinished stage resumes, and what is being built, lie in
`<store>/<kind>/.<key>.work/`; the last state of a training stays in its course, from which more epochs go on
(trainables/store/course.py).

A stage runs once however many trials need it: `Store.claim` gives the right to compute it to one process and lets the others
wait. What is damaged is noticed when it is read, named, set aside and made again.

    python -m trainables.store --help
"""

from trainables.store.artifact import EXTENDED_FROM, Artifact
from trainables.store.course import Course
from trainables.store.directory import Store, artifacts
from trainables.store.errors import DamagedArtifact, LeaseLost, StoreError
from trainables.store.leases import Holder
from trainables.store.workplace import Workplace

__all__ = [
    "EXTENDED_FROM",
    "Artifact",
    "Course",
    "DamagedArtifact",
    "Holder",
    "LeaseLost",
    "Store",
    "StoreError",
    "Workplace",
    "artifacts",
]
