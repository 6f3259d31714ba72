"""Groups of commands, and the options that they share; `cli.py` puts them together."""
