"""Makes the weights of the embedded world. Nothing that a run does imports this."""
