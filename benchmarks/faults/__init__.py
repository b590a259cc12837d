"""The fault suite: what is done to the program, and what must not come of it.

    python -m benchmarks.faults fuzz --rounds 100 --seed 3

A module per property. Each has `run(rounds, seed)`, which gives figures and prints its progress, `ROUNDS`, how many rounds the
full form has, and `SHORT`, how many the tests make. What cannot be tried on a machine raises `NotHere` with the reason.
"""
