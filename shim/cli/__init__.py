"""The host command `bootshim`: one verb a file."""
