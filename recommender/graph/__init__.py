"""The user graph: who did what to which product. A projection of the event log; nobody but the recommender opens it."""
