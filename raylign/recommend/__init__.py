"""Which objective fits the pairs: chosen answers against the model's own."""
