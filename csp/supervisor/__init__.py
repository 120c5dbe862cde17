"""Owns the sockets and the processes of one server."""
