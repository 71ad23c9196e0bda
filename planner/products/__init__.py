"""The product store: what a page of results says about each product, and the products themselves."""
