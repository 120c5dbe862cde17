"""Sign-in by a directory that others keep: what its backends and auth have in common."""
