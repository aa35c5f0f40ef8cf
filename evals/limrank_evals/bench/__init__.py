"""Measurements of the toolkit itself; `make bench` runs them."""
