"""Staged triplets: things cut out of pictures by region masks, shown twice, one change apart."""
