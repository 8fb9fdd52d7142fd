"""The networks as torch modules; needs the ``train`` extra."""
