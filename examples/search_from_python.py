"""Search a gallery from Python: `python examples/search_from_python.py lamp.jpg "in brass"`."""

import sys

import composir

image, text = sys.argv[1:]
gallery = composir.open_gallery("demo/gallery")
result = gallery.search(composir.Query(image=image, text=text), k=5)
print(result.confidence.verdict)
for hit in result.hits:
    print(f"{hit.score:.3f}  {hit.path}")
