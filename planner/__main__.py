"""`python -m planner`"""

from planner.app import create
from planner.settings import PlannerSettings
from services.app import main

main("planner", PlannerSettings, create)
