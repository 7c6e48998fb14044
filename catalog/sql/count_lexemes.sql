WITH counted AS MATERIALIZED (
  SELECT word AS lexeme, ndoc AS products FROM ts_stat('SELECT search FROM catalog_product')
), deleted AS (
  DELETE FROM catalog_lexeme WHERE NOT EXISTS (SELECT FROM counted WHERE counted.lexeme = catalog_lexeme.lexeme)
)
INSERT INTO catalog_lexeme (lexeme, products) SELECT lexeme, products FROM counted
ON CONFLICT (lexeme) DO UPDATE SET products = EXCLUDED.products WHERE catalog_lexeme.products <> EXCLUDED.products
