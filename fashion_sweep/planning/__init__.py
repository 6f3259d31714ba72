"""What a sweep will cost before anything is started: its trials with their sizes, and the shared encodings."""
