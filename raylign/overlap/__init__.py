"""Sampling and revising at once: each draft goes to the reviser as soon as it is on disk."""
