"""What one trial computes: settings, stages, their store. Knows nothing of Ray, Optuna or W&B."""
