"""The cost of a sweep before anything is started: its trials with their sizes, and the shared encodings."""
