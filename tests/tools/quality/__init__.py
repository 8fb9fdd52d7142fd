"""``make quality``: every clip of a folder through flowgimbal and its peers, measured, written to ``docs/quality.md``.

What is compared stands in ``variants`` (ours) and ``peers`` (theirs), what is measured in
``flowgimbal.client.steadiness``. Videos and figures are kept under ``build/quality``: an interrupted run goes on where
it was.
"""
