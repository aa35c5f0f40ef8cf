"""LoRA fine-tuning, ranking losses, rewards, export.

Nothing is built here yet; README.md beside this package says what will live here.
"""
