"""Data sets with layouts of their own: a small file each, which says what their files say."""
