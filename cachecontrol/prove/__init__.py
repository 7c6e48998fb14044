"""The proof: real processes write and read under faults, and a checker judges every answer of the cache.

It uses tables and pages of its own, so that any installation can be proven. ``management.commands.prove`` runs it.
"""
