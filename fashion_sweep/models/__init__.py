"""Base models: what is asked of a family of them, and one folder for each family."""
