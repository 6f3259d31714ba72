"""Things done for real, to see that they hold: nothing in the package imports from here."""
