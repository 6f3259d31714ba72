"""Implements the catalogue task: trials learn a catalogue's training set and are judged on evaluation sets."""
