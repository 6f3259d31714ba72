"""Mirrors run folders into MLflow: this package alone imports mlflow, and lazily, since that takes seconds."""
