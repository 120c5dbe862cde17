"""The proxy's end of the link to its master: connect, load, resume, follow."""
