"""The wire contract, generated from ``stabilizer.proto``."""
