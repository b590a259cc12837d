"""Losses by which one network teaches another."""
