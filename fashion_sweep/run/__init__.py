"""The folder of one run: its file names, who works in it, how far its trials are, and what it runs on."""
