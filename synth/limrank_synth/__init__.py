"""LIMRANK-SYNTHESIZER: reasoning-intensive training data, made, filtered, reviewed, mixed and exported.

See `docs/synthesis.md`. A seed's way through the stages is a generator that yields questions
(`synthesis`); the engine answers them from the ledger or sends them on (`engine`); filters keep what
is sound (`filters`).
"""
