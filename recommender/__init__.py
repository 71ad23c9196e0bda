"""Recommender: what a query means (spelling, synonyms, categories) and what its user prefers (user graph, preference model)."""
