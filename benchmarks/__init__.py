"""The questions of a study, as pytest cases."""
