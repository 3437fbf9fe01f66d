"""Benchmarks: `make bench` measures ratios within one run and writes them to RESULTS.md."""
