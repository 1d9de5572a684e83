"""Axis 1: the models, and the adapters that load them."""
