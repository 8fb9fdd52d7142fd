"""A cluster of servers, simulated: where streams go, and what they notice when servers go. See docs/scaling.md."""
