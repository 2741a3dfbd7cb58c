"""Prompts: read from a file, normalised, identified by content, deduplicated, split; nothing here needs a cluster."""
