"""Synthetic triplets: (reference image, modification text, target image), made to train composers.

From captioned or labelled pictures: `source` reads them, `pairs` finds pictures that belong
together, `templates` or `language_model` writes what leads from one to the other, `sieve` drops
what does not hold, and `triplet_folder` writes a data set folder that `composir bench` and
`composir train` read. `make` is the whole way. No PyTorch is needed.
"""

from composir.triplets.make import Made, MakeSettings, make_triplets
from composir.triplets.records import ImageSet, Pair, SourceImage, SyntheticTriplet
from composir.triplets.source import read_captioned, read_data_set

__all__ = [
    "ImageSet",
    "Made",
    "MakeSettings",
    "Pair",
    "SourceImage",
    "SyntheticTriplet",
    "make_triplets",
    "read_captioned",
    "read_data_set",
]
