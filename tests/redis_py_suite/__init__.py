"""redis-py's own test suite against csp: what must pass there, and what need not, with reasons."""
