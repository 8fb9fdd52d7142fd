"""From a frame's bytes to a picture and back: one module a family of encodings, one table of them all."""
