"""Memory: the machine's memory map, and a place in it for every segment."""
