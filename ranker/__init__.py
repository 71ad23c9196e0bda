"""The ranker: features of the candidates, and the order that a release gives them."""
