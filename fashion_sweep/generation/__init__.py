"""Draws pictures with a model and its adapter, batch by batch."""
