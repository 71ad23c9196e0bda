"""Everything between the log and what is served: generations of a catalogue, releases of a model, and the gates they pass."""
