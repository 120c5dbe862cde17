"""The Python face of the shared memory: create, attach, inspect."""
