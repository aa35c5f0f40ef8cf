"""What an answer is worth in reinforcement learning: pure functions of a text and the truth.

They read an answer with the parsers of inference, so a model is rewarded for what it will be read as.
"""
