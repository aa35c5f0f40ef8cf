"""How fast this package is beside others on the same weights, in one process: `limrank bench`.

One module a subject. Each makes `Contest`s, which `interleaved.py` runs and compares.
"""
