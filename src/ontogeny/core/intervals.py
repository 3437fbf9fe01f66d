"""The width of intervals."""

Z95 = 1.96
"""Standard errors from the middle of a 95 % interval of a Gaussian to its edge."""
