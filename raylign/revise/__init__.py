"""A stronger model revises each draft, through an OpenAI-compatible endpoint."""
