"""The shell round a worker's loop: start, slow lane, sessions."""
