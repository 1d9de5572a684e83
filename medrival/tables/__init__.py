"""The axes to read: a line or a few for each row, or one row whole; a file an axis. And two runs beside each other."""
