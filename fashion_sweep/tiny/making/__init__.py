"""How the weights of the embedded world were made. Nothing that a run does imports this."""
