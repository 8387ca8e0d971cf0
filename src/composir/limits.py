"""How large the numbers may be that people give; beyond, a run would never end, or crash."""

MOST_THREADS = 512
MOST_BATCH = 1024
MOST_HITS = 1_000_000
MOST_RERANKED = 10_000
MOST_TRIPLETS = 1_000_000
MOST_RESAMPLES = 100_000
LARGEST_SEED = 2**32 - 1
MOST_PAGE_PICTURES = 5_000
"""Of a page of plain files; more are too much for a browser to fetch before the first search."""
MOST_SHARDS = 512
"""Of one gallery; a merge holds the lock of each, and systems allow some 1,000 open files."""
