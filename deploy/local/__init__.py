"""Real servers as local processes, without Docker: Elasticsearch, Neo4j, and a model server with TensorFlow Serving's protocol."""
