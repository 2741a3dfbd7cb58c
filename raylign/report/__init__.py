"""The page that tells a person in two minutes what a run did."""
