"""The demonstration catalog: one TOML file for each department, and `generator`, which makes products from them."""
