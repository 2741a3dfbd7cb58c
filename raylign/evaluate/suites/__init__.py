"""Evaluation suites: each a plug-in with the interface of `raylign.evaluate.suites.suite`."""
