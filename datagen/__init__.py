"""Catalogues for shops: the generated world with its truth, and the importer of real ones."""
