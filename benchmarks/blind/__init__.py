"""The blind test of a comparison: changes of eight kinds, told apart by code from the page alone."""
