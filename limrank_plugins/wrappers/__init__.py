"""Recipes made of recipes: one idea per file, each a `limrank_plugins.recipe.Wrapper`.

A wrapper decides which documents each of its parts ranks, and makes one outcome of theirs. Like a readout it
is a generator that does no I/O; unlike one, it does not know what its parts ask a model.
"""
