"""What the server asks of an engine: run the flow network and the warp network."""
