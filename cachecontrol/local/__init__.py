"""The local tier: entries in the memory of a web process, whose freshness the process proves by itself.

See docs/architecture.md, "The local tier".
"""
