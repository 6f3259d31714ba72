"""Defines what a trial learns and is judged by, and takes a run from its plan to its report."""
