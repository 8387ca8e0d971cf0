"""Map-to-Compose (arXiv 2504.17990): mapping, then composing."""
