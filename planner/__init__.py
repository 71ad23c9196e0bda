"""The planner: public API, order of the path, budgets, fall-backs, events."""
