"""Training objectives as pure functions of scores: one family per file, in float32 or what they are given.

Targets are ranks or labels, never scores: ties in a teacher's scores would vanish or turn into NaN.
"""
