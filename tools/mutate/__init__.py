"""Breaks the lines that promise something, one at a time, and runs the tests that must see it."""
