"""Benchmarks: speed beside the peers, and studies on real data given by path."""
