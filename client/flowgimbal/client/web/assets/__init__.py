"""What the browser loads: no build step, and nothing from elsewhere."""
