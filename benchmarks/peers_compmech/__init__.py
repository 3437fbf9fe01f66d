"""Workers of simplexity and epsilon-transformers, each run from its public repository in an environment of its own."""
