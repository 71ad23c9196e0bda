"""Judging a search system with judgment lists, and telling why a product stands where it stands."""
