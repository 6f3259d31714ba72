"""One photo of a garment in, an adapter and on-model pictures out."""
