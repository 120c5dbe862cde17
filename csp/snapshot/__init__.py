"""A proxy's snapshot file: what it serves and knows, on disk over a stop or a host's restart."""
