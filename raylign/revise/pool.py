"""What the pool of reviser actors takes of the cluster. Pure: asked before Ray or an HTTP client is loaded."""

CPUS_PER_ACTOR = 0.5
"""Logical CPUs of an actor: it waits for the endpoint most of the time."""
