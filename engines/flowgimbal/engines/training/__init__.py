"""How the networks are trained, from photos and camera paths to weights; needs the ``train`` extra."""
