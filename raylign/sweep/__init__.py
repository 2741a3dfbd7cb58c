"""Training at every point of a grid, on one reference pass, compared in one table."""
