"""How fast our trainer is, and how much memory it takes, beside plain peft and `Trainer` on the same rows.

    python -m limrank_training.bench --shape 0.5b
    python -m limrank_training.bench --shape 7b --rounds 2

Torch, transformers and peft suffice. Weights are random and made on the spot; rows are random tokens, about
as long as judged passages with their traces. The plan is the paper's (`limrank-7b-paper`) but for its length.
Both ways run in turn in one process, every other round in the other order; each begins with the same weights
and adapters and sees the same rows in the same order. JSON goes to stdout, a line for each run to stderr.
"""
