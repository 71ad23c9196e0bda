"""`aisle`: makes what is missing, starts and stops processes, says what runs. Imports no service; services are started as processes."""
