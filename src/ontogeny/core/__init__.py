"""What every room shares: losses, samples, restriction, outcome, errors, seeds, fingerprint, the protocols Sink and
Progress.
"""
