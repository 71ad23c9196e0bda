"""`python -m searcher`"""

from searcher.app import create
from searcher.settings import SearcherSettings
from services.app import main

main("searcher", SearcherSettings, create)
