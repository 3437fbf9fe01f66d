"""Comparison with other libraries, each at its release in an environment of its own: `python -m benchmarks.peers`."""
