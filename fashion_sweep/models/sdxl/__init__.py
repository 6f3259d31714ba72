"""Stable Diffusion XL as an architecture: all that is known of it is in this folder."""
