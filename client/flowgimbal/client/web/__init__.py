"""A page to see it: streams side by side before and after, tuned while they run, and the browser's own camera."""
