"""Implements the garment task: an adapter and on-model pictures from one photo."""
