"""The journal: replies that were paid for, kept as they came, found by the id of what was asked."""
