"""[ours] What keeps words their say beside pseudo-words, without labels; for ISA and stage 1."""
