"""The edge: the only package that makes system calls, and its recording twin."""
