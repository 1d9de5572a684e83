"""Axis 2: data sets, their questions, and how answers are scored."""
