"""Two drafts of a prompt are judged in both orders, and the preferred one is chosen over the other."""
