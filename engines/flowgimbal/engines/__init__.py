"""The networks, their training, their weights, and the engines that run them."""
