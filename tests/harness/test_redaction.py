"""Text that is kept holds no key that the environment holds, and no login of an address; all else stays as it is."""

from __future__ import annotations

import pytest

from harness.redaction import without_secrets

KEY = "0123456789abcdef0123456789abcdef01234567"
ENVIRONMENT = {
    "WANDB_API_KEY": KEY,
    "RAY_AUTH_TOKEN": "tok-" + KEY,
    "DB_PASSWORD": "short",
    "KEYBOARD": "qwertyuiop",
    "HOME": "/home/me-and-you",
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"sweep.py --name a --set x={KEY}", "sweep.py --name a --set x=***"),
        (f"a tok-{KEY} b", "a *** b"),
        ("--data ucf101=https://me:pass@host/UCF-101", "--data ucf101=https://***@host/UCF-101"),
        ("--data ucf101=/home/me-and-you/UCF-101 qwertyuiop short", "--data ucf101=/home/me-and-you/UCF-101 qwertyuiop short"),
        ("mail a@b.c, see https://host/a@b", "mail a@b.c, see https://host/a@b"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, kept: str) -> None:
    assert without_secrets(text, ENVIRONMENT) == kept
