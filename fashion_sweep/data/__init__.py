"""Data sets on disk, their filter and split, the transforms, and the cache of encodings."""
