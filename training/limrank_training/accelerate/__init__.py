"""Configurations of `accelerate launch`: DDP, FSDP, DeepSpeed ZeRO-3 on two and eight 80 GB GPUs."""
