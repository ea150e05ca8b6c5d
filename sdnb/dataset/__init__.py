"""Photos in, prepared pictures with captions out."""

from sdnb.dataset.photos import Photo, read_photos

__all__ = ["Photo", "read_photos"]
