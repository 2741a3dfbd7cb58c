"""MixEval and MixEval-Hard (arXiv 2406.06565), from a folder that the user supplies."""
