"""The networks, their training, their weights, and the engines that run them."""

import os

# ONNX Runtime's wheels (1.32, Linux) note their use in a database below ~/.cache, to be sent to Microsoft. Whether to
# is asked when the library is loaded, which is after this: all that imports it is in this package.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
