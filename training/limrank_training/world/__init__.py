"""A generated world in which a tiny model learns to rerank: the proof that the whole chain learns.

`world.language` its words and facts, `world.questions` queries with judged passages and traces,
`world.files` rows and groups as training reads them, `world.base` a decoder that learns to read the
language, `world.measuring` nDCG@10 on held-out entities, `world.arms` and `world.proof` the comparison.
"""
