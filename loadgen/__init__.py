"""Shoppers who put the running system under load and check every answer. Only locustfile.py imports Locust, which patches its process."""
