"""Every stage of a run on two samples at the true sizes, and what that foretells of the run."""
