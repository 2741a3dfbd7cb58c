"""Revisions become preference pairs, or rejections with a reason."""
