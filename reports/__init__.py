"""Turns the ledgers of sweeps into the papers' tables, beside the published numbers. Reads ledgers only."""
