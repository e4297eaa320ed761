"""Memory: the machine's map, and an address for everything that is loaded. Interval arithmetic only."""

from __future__ import annotations

from shim.memory.map import MemoryMap, read_memory_map
from shim.memory.place import place

__all__ = ["MemoryMap", "place", "read_memory_map"]
