"""The valid name that a misspelt one is likely to mean, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the most similar of the valid names; nothing where none is similar."""
    similar = get_close_matches(name, list(valid), n=1)
    return f"; did you mean '{similar[0]}'?" if similar else ""
