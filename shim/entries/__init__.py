"""Entries: from a volume's files to `Entry`s, one dialect a file."""
