"""Fuzzes the compiled core with libFuzzer: requests, patterns, and what a feed brings."""
