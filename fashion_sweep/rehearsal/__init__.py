"""Runs every stage of a run on two samples at the true sizes, and forecasts the run from them."""
