"""The stabilization service: sessions, window, pipeline and the gRPC face of them."""
