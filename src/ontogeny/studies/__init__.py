"""Recipes: one file or folder a study, with a frozen config, a run, its claims and its panels."""
