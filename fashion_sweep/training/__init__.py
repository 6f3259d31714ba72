"""Training of adapters: noise and loss, the loop, the checkpoints."""
