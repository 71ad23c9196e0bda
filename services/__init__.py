"""The kit that every service shares: contracts, text, features, artifacts, application factory, client, telemetry."""
