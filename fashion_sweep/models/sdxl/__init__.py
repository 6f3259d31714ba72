"""Stable Diffusion XL as an architecture: all code that knows of it is in this folder."""
