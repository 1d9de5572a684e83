"""Axis 3: how a model is adapted before the test."""
