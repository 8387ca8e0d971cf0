"""Map-to-Compose, stage 1 (arXiv 2504.17990): from a picture to pseudo-words."""
