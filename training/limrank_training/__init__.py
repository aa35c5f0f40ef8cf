"""LoRA fine-tuning, ranking losses, rewards, export.

README.md beside this package says what lives where.
"""
