"""Benchmarks: what the system costs, as ratios from one interleaved run. Nothing here is asserted in a test."""
