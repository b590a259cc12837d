"""The fault suite: what is done to sweeps, stores, ledgers and videos, and what must not come of it.

    python -m benchmarks.faults
    python -m benchmarks.faults kills --rounds 10 --seed 3

A module per property. Each has `run(rounds, seed)`, which gives figures and prints its progress, `ROUNDS`, how many rounds the
figure in docs/reliability.md is of, and `SHORT`, how many tests/benchmarks/test_faults.py makes. What cannot be tried on a
machine raises `NotHere` with the reason.
"""
