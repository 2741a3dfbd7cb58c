"""Base and aligned model compared prompt by prompt: their answers, the difference with its interval, the guards."""
