"""`og.measure` with no settings on runs of several kinds of network, against references of ten times the draws."""
