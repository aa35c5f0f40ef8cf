"""LoRA fine-tuning on reasoned judgements, ranking losses, rewards, export.

Nothing is built here yet.
"""
