"""Sizes inside the network, which its TensorFlow and its ONNX form share (those that callers see are in services/models/port.py)."""

from services.models.port import VECTOR_SIZE

UNITS = 64
KIND_SIZE = 8
PROPERTY_SIZE = KIND_SIZE + 1
"""Of a behaviour: its kind's embedding and its gap."""
STATE_SIZE = UNITS + VECTOR_SIZE + PROPERTY_SIZE + 1
"""H: LSTM state, what the behaviour was about, its properties, and 1 (0 where the sequence is padded)."""
ATTENTION = 32
HIDDEN = 32
GAP_SCALE = 0.1
