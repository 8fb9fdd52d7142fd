"""Load on a server, and what it did to it."""
