"""LoRA fine-tuning, ranking losses, rewards, export.

`losses` and `rewards` are pure functions; README.md beside this package says what else will live here.
"""
