"""The configuration of a run: presets, sweeps, trials, and how they are read. Nothing here needs torch."""
