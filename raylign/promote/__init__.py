"""From an evaluation to a decision, and from a decision to what is served."""
