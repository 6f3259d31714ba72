"""The numbers that judge generated pictures, and the networks whose features they compare."""
