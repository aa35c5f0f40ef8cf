"""Two rerankers on the same queries, with judgements or without: how they differ, and which is better."""
