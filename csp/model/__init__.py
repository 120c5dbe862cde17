"""Object classes, keys, deltas and images as data; no I/O, no clock."""
