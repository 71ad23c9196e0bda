"""The event log: the truth that the user graph, training and popularity are derived from. The planner writes it; all others read."""
