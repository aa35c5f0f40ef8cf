"""BRIGHT, FollowIR, LitSearch, GPQA-style RAG and TREC runs: loaders, metrics, reports, ablations.

Nothing is built here yet.
"""
