"""csp, an open Configuration Server Proxy."""

__version__ = "0.1.0"
