"""What is measured, as ratios in one run. Each script opens with the command to type; figures are in docs/benchmarks.md."""
