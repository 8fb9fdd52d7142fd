"""Fuzzing of the server: bytes that a fuzzer makes up, and what must hold whatever they are.

`decoder` and `session` are targets, for atheris and for the replay of the corpora; `over_socket` fuzzes a process.
"""
