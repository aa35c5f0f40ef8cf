"""Rewrite, retrieve, rerank, read: assembled pipelines.

Nothing is built here yet; README.md beside this package says what will live here.
"""
