"""A garment as the task: an adapter and on-model pictures from one photo."""
