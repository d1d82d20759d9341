"""Files written from projections. Each can be deleted: the journal makes it again."""
