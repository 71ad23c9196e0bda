"""`python -m ranker`"""

from ranker.app import create
from ranker.settings import RankerSettings
from services.app import main

main("ranker", RankerSettings, create)
