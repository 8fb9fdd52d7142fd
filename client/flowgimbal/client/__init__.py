"""The Python SDK of the stabilization service."""
