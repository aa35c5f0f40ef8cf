"""Passages graded by a model, as UMBRELA does: the pool of runs, the judge, its agreement with people."""
