"""Noise and loss, the loop, the checkpoint."""
