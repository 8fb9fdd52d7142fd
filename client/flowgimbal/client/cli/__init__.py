"""The command line. One module a command; each is a frozen dataclass of its options and a function that runs it."""
