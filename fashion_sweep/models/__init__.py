"""Base models, one module a family, and the adapters that are attached to them."""
