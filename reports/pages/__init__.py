"""Pages of sweeps: what is on them (sweep, front), plots (parameters, outcomes, epochs), pictures, and how they are written."""
