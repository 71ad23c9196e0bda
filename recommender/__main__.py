"""`python -m recommender`."""

from recommender.app import create
from recommender.settings import RecommenderSettings
from services.app import main

main("recommender", RecommenderSettings, create)
