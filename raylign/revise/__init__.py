"""A stronger model revises each draft, through an OpenAI-compatible endpoint; the pool serves judges, too."""
