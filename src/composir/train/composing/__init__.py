"""Map-to-Compose, stage 2 (arXiv 2504.17990): adapters that compose, from triplets."""
