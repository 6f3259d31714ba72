"""The cache that all trials of a sweep share: its size, its place, its filling."""
