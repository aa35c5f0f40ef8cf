"""Encoders that rank: TILDEv2, GLiClass, cross-encoders, and vectors of texts and images."""
