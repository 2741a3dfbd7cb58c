"""Hosting models behind one OpenAI-compatible endpoint."""
