"""The judging of a run: on how many images, how far its race has come, and how each configuration stands in it."""
