"""Runs the compiled store under the sanitizers of the C compiler."""
