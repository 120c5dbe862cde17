"""The certificates of a server's ports: what they are, who reads them, how all workers get them."""
