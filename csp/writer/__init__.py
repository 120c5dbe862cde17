"""The one process that changes the store: it owns the origin and answers the workers."""
