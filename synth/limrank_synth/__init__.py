"""LIMRANK-SYNTHESIZER: personas, daily-life and expert queries, hard negatives, reasoning traces, filters, review and export.

Nothing is built here yet.
"""
