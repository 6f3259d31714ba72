"""What a trial learns and is judged by, and the way of a run from its plan to its report."""
