"""`raylign plan`: a small sample of the run, and what the whole run takes by it."""
