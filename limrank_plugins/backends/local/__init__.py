"""What running a causal language model on this machine takes: tokens, keys and values, batches, writing."""
