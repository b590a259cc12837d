"""Schedules trials, keeps what they produced and shows how they go. Ray, Optuna and W&B live here only."""
