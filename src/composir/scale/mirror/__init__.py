"""Galleries in object stores: every machine works on its own copy, which follows the store.

```
with fetched(address) ── the files of the newest edition that the copy lacks ──▶ the copy's folder
with changed(address) ── a mark for other machines; fetched ──▶ an index run in the folder
                      ── new files, then the record that names them all ──▶ the next edition
a shard has a record of its own below the gallery's address, so that workers never meet
```
A store has no locks, no files that are replaced in part and no memory-mapped matrix: so Lance reads
and writes a folder, as everywhere else, and what crosses the network are whole files that are never
changed, and one small record.
"""

from composir.scale.mirror.copy import Told
from composir.scale.mirror.galleries import changed, changed_shard, copy_folder, fetched, merged

__all__ = ["Told", "changed", "changed_shard", "copy_folder", "fetched", "merged"]
