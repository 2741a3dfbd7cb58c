"""What a source gives (revisions, judgements, imported rows) becomes preference pairs, or rejections with a reason."""
