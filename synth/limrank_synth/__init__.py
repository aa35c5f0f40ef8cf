"""LIMRANK-SYNTHESIZER: reasoning-intensive training data.

Nothing is built here yet; README.md beside this package says what will live here.
"""
