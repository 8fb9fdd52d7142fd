"""Plans: our networks compiled for a card by TensorRT or TensorRT-RTX, whose modules are passed in as ``trt``."""
