"""``python -m flowgimbal.client.cli``: the same as ``flowgimbal``."""

import sys

from flowgimbal.client.cli.main import main

sys.exit(main())
