"""What rows of a data set look like, for messages about files that have none."""

from __future__ import annotations

GALLERY_ROW = 'a row is, e.g., {"id": "a", "file": "images/a.jpg"}'
QUERY_ROW = 'a row is, e.g., {"id": "1", "reference": "a", "text": "in red", "targets": ["b"]}'
TRIPLET_ROW = 'a row is, e.g., {"reference": "a.jpg", "text": "in red", "target": "b.jpg"}'
CAPTION_ROW = 'a row is, e.g., {"file": "a.jpg", "caption": "a red lamp"}'
