"""The tier index: its port and its adapters."""
