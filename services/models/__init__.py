"""The models of one release behind one port: `port.py`, and its adapters by product (`onnx.py`, `tfserving.py`)."""
