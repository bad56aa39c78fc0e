"""Use cases: small classes with named collaborators. No SQL text and no HTTP status codes."""
