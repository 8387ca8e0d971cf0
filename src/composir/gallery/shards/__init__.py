"""One gallery made by many workers: each encodes a shard of the files, and a merge joins them.

```
index_shard(G, roots, 3 of 64) ── the ordinary index run, of the files that are the shard's ──▶
    G/shards/03-of-64/          a gallery of its own: table, failures, lock; resumes as any other
    G/shards/03-of-64/composir-shard.json       what all shards must have in common, and its state
merge_shards(G) ── refuses what does not belong together, or is missing ──▶
    fragments of the shards' tables, linked into the gallery's; rows that it has are left out
    ── one commit with a key ──▶ failures, roots, compaction, vector index ──▶ shards are removed
```
The gallery is left alone until the merge. Each step of a merge may be repeated, so one that was
killed is begun again; and what the gallery holds by then is not added twice.
"""

from composir.gallery.shards.merging import MergeReport, merge_shards
from composir.gallery.shards.shard import Shard, parse_shard
from composir.gallery.shards.shard_run import index_shard

__all__ = ["MergeReport", "Shard", "index_shard", "merge_shards", "parse_shard"]
