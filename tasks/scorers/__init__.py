"""Scorers that need more than the predictions: an encoder, or a judge."""
