"""Web servers beside each other: one page of the shop, asked for over HTTP by wrk."""
