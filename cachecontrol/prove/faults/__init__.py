"""Faults: what the proof does to its processes and servers while they work."""
