"""Standard errors of metrics and of their differences, and the choice of a configuration by them. Without torch."""
