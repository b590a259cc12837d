"""Search spaces: one file each. `harness/sweep.py --list` shows them; a new one is a new file with a `SPACE`."""
