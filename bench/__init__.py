"""Measures csp against its peers in the same run; `bin/bench` lists the benchmarks."""
