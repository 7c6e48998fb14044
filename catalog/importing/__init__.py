"""Files into the catalog: source (rows) → mapping (columns) → reading (values) → loading (database)."""
