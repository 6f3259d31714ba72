"""The kinds of adapters: how each is counted, attached, saved and written for other tools."""
