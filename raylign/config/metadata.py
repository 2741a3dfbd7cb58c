"""What a field's `metadata` says: which values it may have, and whether it bears on what comes out of a run.

`allowed` lists choices, `low` and `high` are inclusive bounds, `above` and `below` exclusive ones.
`raylign.config.checks` reads them and holds the checks between fields.
"""

OPERATION = {"operation": True}
"""Says how work is done and not what comes out of it: the field may change between starts of one run."""
