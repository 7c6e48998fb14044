-- name: products_existing
UPDATE staged_product AS s SET id = p.id FROM catalog_product AS p WHERE p.sku = s.sku;

-- name: products_updated
UPDATE catalog_product AS p
SET name = s.name, description = s.description, brand_id = s.brand_id, category_id = s.category_id, price = s.price,
    sale_price = s.sale_price, currency = s.currency, status = s.status,
    publish_at = CASE WHEN s.status IN ('published', 'scheduled') THEN coalesce(s.publish_at, p.publish_at, now()) ELSE s.publish_at END,
    unpublish_at = s.unpublish_at, attributes = s.attributes,
    updated_at = now()
FROM staged_product AS s
WHERE p.id = s.id AND (
  p.name, p.description, p.brand_id, p.category_id, p.price, p.sale_price, p.currency, p.status, p.publish_at,
  p.unpublish_at, p.attributes
) IS DISTINCT FROM (
  s.name, s.description, s.brand_id, s.category_id, s.price, s.sale_price, s.currency, s.status,
  CASE WHEN s.status IN ('published', 'scheduled') THEN coalesce(s.publish_at, p.publish_at, now()) ELSE s.publish_at END,
  s.unpublish_at, s.attributes
);

-- name: products_created
INSERT INTO catalog_product (
  name, slug, sku, description, brand_id, brand_name, category_id, price, sale_price, currency, status, publish_at,
  unpublish_at, attributes, created_at, updated_at
)
SELECT name, CASE WHEN is_duplicate THEN slug || '-' || left(md5(sku), 8) ELSE slug END, sku, description, brand_id, '',
       category_id, price, sale_price, currency, status,
       CASE WHEN status IN ('published', 'scheduled') THEN coalesce(publish_at, now()) ELSE publish_at END, unpublish_at,
       attributes, now(), now()
FROM (
  SELECT s.*, row_number() OVER (PARTITION BY s.slug ORDER BY s.line) > 1
              OR EXISTS (SELECT FROM catalog_product AS other WHERE other.slug = s.slug) AS is_duplicate
  FROM staged_product AS s
  WHERE s.id IS NULL
) AS new_product
ORDER BY line
ON CONFLICT (sku) DO NOTHING;

-- name: products_identified
UPDATE staged_product AS s SET id = p.id FROM catalog_product AS p WHERE s.id IS NULL AND p.sku = s.sku;

-- name: variants_existing
UPDATE staged_variant AS s SET id = v.id FROM catalog_variant AS v WHERE v.sku = s.sku;

-- name: variants_updated
UPDATE catalog_variant AS v
SET product_id = p.id, option = s.option, value = s.value, price = s.price, gtin = s.gtin, position = s.position,
    active = s.active, stock = coalesce(s.stock, v.stock)
FROM staged_variant AS s JOIN staged_product AS p ON p.sku = s.product_sku
WHERE v.id = s.id AND (
  v.product_id, v.option, v.value, v.price, v.gtin, v.position, v.active, v.stock
) IS DISTINCT FROM (
  p.id, s.option, s.value, s.price, s.gtin, s.position, s.active, coalesce(s.stock, v.stock)
);

-- name: variants_retired
UPDATE catalog_variant AS v SET active = false
FROM staged_product AS p
WHERE v.product_id = p.id AND v.active AND NOT EXISTS (SELECT FROM staged_variant AS s WHERE s.sku = v.sku);

-- name: variants_created
INSERT INTO catalog_variant (product_id, sku, option, value, price, gtin, position, active, stock)
SELECT p.id, s.sku, s.option, s.value, s.price, s.gtin, s.position, s.active, coalesce(s.stock, 0)
FROM staged_variant AS s JOIN staged_product AS p ON p.sku = s.product_sku
WHERE s.id IS NULL
ORDER BY p.id, s.position
ON CONFLICT (sku) DO NOTHING;

-- name: images_updated
UPDATE catalog_productimage AS i SET alt = s.alt
FROM staged_image AS s JOIN staged_product AS p ON p.sku = s.product_sku
WHERE i.product_id = p.id AND i.position = s.position AND i.file = '' AND i.alt <> s.alt;

-- name: images_created
INSERT INTO catalog_productimage (product_id, file, seed, alt, position)
SELECT p.id, '', s.seed, s.alt, s.position
FROM staged_image AS s JOIN staged_product AS p ON p.sku = s.product_sku
WHERE NOT EXISTS (SELECT FROM catalog_productimage AS i WHERE i.product_id = p.id AND i.position = s.position)
ORDER BY p.id, s.position;
