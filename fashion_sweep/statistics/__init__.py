"""Errors of numbers and of their differences, and which configuration they allow one to choose. Without torch."""
