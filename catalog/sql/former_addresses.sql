-- Keep the former URL when a product or category is renamed, whatever program does it. The functions run with the rights of
-- their owner, so that programs need no rights on these tables.
ALTER TABLE catalog_formerproductslug ADD CONSTRAINT formerproductslug_product
  FOREIGN KEY (product_id) REFERENCES catalog_product (id) ON DELETE CASCADE;
ALTER TABLE catalog_formercategorypath ADD CONSTRAINT formercategorypath_category
  FOREIGN KEY (category_id) REFERENCES catalog_category (id) ON DELETE CASCADE;

CREATE FUNCTION catalog_product_keep_slug() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO catalog_formerproductslug (slug, product_id) VALUES (OLD.slug, OLD.id)
  ON CONFLICT (slug) DO UPDATE SET product_id = excluded.product_id;
  RETURN NULL;
END $$;

-- A trigger for each row: its condition makes an UPDATE of other columns, such as that of an import, cost nothing.
CREATE TRIGGER catalog_product_keep_slug AFTER UPDATE OF slug ON catalog_product
  FOR EACH ROW WHEN (OLD.slug <> NEW.slug) EXECUTE FUNCTION catalog_product_keep_slug();

CREATE FUNCTION catalog_category_keep_path() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO catalog_formercategorypath (url_path, category_id) VALUES (OLD.url_path, OLD.id)
  ON CONFLICT (url_path) DO UPDATE SET category_id = excluded.category_id;
  RETURN NULL;
END $$;

CREATE TRIGGER catalog_category_keep_path AFTER UPDATE OF url_path ON catalog_category
  FOR EACH ROW WHEN (OLD.url_path <> NEW.url_path) EXECUTE FUNCTION catalog_category_keep_path();

-- From the history, take the former slugs of products that were renamed in the admin before this migration.
INSERT INTO catalog_formerproductslug (slug, product_id)
SELECT DISTINCT ON (version.slug) version.slug, product.id
FROM catalog_historicalproduct AS version JOIN catalog_product AS product ON product.id = version.id
WHERE version.slug <> product.slug
ORDER BY version.slug, version.history_date DESC;
