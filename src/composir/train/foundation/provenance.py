"""Where the packaged model comes from: data, weights, licences."""

from __future__ import annotations

from composir.model.bundle import Source

LICENCE = (
    "Apache-2.0 for these weights as far as we hold rights in them; some training pictures were "
    "licensed for research only, see the sources"
)
SOURCES_OF_MINI = [
    Source(name="EfficientNet-Lite2, ImageNet weights", licence="Apache-2.0", use="image trunk"),
    Source(name="all-MiniLM-L6-v2", licence="Apache-2.0", use="text tower"),
    Source(
        name="Flickr8k, training part",
        licence="research use; pictures owned by their photographers",
        use="training: pictures and captions",
    ),
    Source(
        name="fashion catalogue (fashion-recolour), training title groups",
        licence="unclear (a public catalogue data set)",
        use="training: pictures, titles, colours, types",
    ),
    Source(
        name="PACS, training part",
        licence="unclear, research",
        use="training: pictures, domain and class names",
    ),
    Source(name="grocery pictures", licence="MIT", use="training: pictures, class names"),
    Source(name="clothing pictures", licence="CC0", use="training: pictures, class names"),
]
