"""Stable Diffusion 3 and 3.5 as an architecture."""
