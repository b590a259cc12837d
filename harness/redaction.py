"""Takes keys and passwords out of text that is kept: a ledger and what lies beside it are shared."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

NAMES = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", re.IGNORECASE)
"""Of environment variables whose values nobody is to read."""
SHORTEST = 8
"""Characters of a value that is looked for: a shorter one would be found in everything."""
LOGIN = re.compile(r"(?<=://)[^\s/@]+(?=@)")
"""User and password in an address."""
HIDDEN = "***"


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with values of such environment variables, and logins in addresses, replaced by `***`."""
    values = {value for name, value in environment.items() if NAMES.search(name) and len(value) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return LOGIN.sub(HIDDEN, text)
