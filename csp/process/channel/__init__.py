"""One channel between two processes of a server: who asks, who answers."""
