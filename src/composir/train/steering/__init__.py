"""[ours] Text faithfulness of sentences with pseudo-words, without labels: for ISA and stage 1."""
