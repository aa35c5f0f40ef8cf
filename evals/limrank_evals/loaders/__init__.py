"""What the benchmarks in `limrank_evals.tasks` are read with, and files of multiple-choice questions."""
