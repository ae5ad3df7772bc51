"""Trainer for POLAR reward models (Policy Discriminative Learning, arXiv 2507.05197)."""
