"""The searcher: tiers, facets and suggestions of one shop."""
