"""Hands trained adapters over: draws images on demand, and exports adapters for other tools."""
