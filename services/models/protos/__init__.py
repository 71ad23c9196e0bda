"""The part of TensorFlow Serving's protocol that we use (`serving.proto`) and the code made from it (`make_protos.py` makes it again)."""
