"""Runs the compiled store under the race detector, and counts its instructions."""
