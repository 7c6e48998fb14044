"""A small project that uses the cache, with names of its own, which proves its installation. Tests run a copy of it."""
