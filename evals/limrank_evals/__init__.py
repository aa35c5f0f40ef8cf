"""Benchmarks, measures, comparisons: numbers that say what they are of and how sure they are.

See docs/evaluation.md; `limrank eval --help` lists the commands.
"""
