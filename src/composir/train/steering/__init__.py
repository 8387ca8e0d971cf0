"""[ours] Text faithfulness: words still count beside pseudo-words; without labels."""
