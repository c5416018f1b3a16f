"""Benchmarks: what `deepboot bench` races."""
