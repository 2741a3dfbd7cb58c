"""The target model drafts an answer to every prompt."""
