"""LIMRANK-SYNTHESIZER: reasoning-intensive training data, made, filtered, reviewed, mixed and exported.

See `docs/synthesis.md`. A seed's way through the stages is a generator that yields questions
(`synthesis`); the engine answers them from the ledger or sends them on (`engine`); filters keep what
is sound (`filters`). `load_open` gives the open set that comes with it.
"""

from limrank_synth.limrank_open import load_open as load_open
