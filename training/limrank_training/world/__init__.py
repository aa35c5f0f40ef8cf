"""A generated world in which a tiny model learns to rerank: the proof that the whole chain learns.

`world.language` its words and facts, `world.queries` queries with judged passages and traces,
`world.topics` passages and groups as training reads them, `world.texts` and `world.base_model` a decoder that
learns to read the language, `world.topic_ndcg` nDCG@10 on held-out entities, `world.proof_arms` and
`world.proof` the comparison.
"""
