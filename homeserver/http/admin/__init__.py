"""The administrators' API: endpoints."""
