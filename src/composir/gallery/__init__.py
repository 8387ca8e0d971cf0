"""Galleries: folders of pictures, indexed once and searched often."""

from composir.gallery.confidence import ConfidenceCalibration
from composir.gallery.gallery import Gallery, open_gallery
from composir.gallery.lookup import GalleryInfo
from composir.gallery.progress import IndexProgress

__all__ = ["ConfidenceCalibration", "Gallery", "GalleryInfo", "IndexProgress", "open_gallery"]
