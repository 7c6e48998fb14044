"""The proof: a random history of writers and readers under faults, of which an oracle judges every answer.

It runs real processes against tables and pages of its own, so that any installation can be proven.
"""
