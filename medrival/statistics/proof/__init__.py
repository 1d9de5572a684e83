"""Proof by simulation; apart from what it proves, so that no stored outcome depends on its code."""
