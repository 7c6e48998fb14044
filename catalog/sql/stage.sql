-- The rows of one batch of an import. `id` is set to that of the row in the catalog with the same SKU.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_product (
  brand_id bigint, category_id bigint, line integer, sku text, name text, slug text, description text, price numeric(12, 2),
  sale_price numeric(12, 2), currency text, status text, publish_at timestamptz, unpublish_at timestamptz, attributes jsonb,
  id bigint
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS staged_variant (
  product_sku text, sku text, option text, value text, price numeric(12, 2), gtin text, position smallint, active boolean,
  stock integer, id bigint
) ON COMMIT DELETE ROWS;

CREATE TEMPORARY TABLE IF NOT EXISTS staged_image (
  product_sku text, alt text, seed integer, position smallint
) ON COMMIT DELETE ROWS;

-- If a larger transaction contains several batches, the rows of the previous batch have not been deleted yet.
TRUNCATE staged_product, staged_variant, staged_image;
