-- Keep the copies of a brand's name in its products equal to the name, whatever program writes.
-- See Note [Why products copy the name of their brand].
CREATE FUNCTION catalog_product_copy_brand_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.brand_name := coalesce((SELECT name FROM catalog_brand WHERE id = NEW.brand_id), '');
  RETURN NEW;
END $$;

CREATE TRIGGER catalog_product_copy_brand_name BEFORE INSERT OR UPDATE OF brand_id, brand_name ON catalog_product
  FOR EACH ROW EXECUTE FUNCTION catalog_product_copy_brand_name();

CREATE FUNCTION catalog_brand_pass_name_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE catalog_product SET brand_name = NEW.name WHERE brand_id = NEW.id;
  RETURN NULL;
END $$;

CREATE TRIGGER catalog_brand_pass_name_on AFTER UPDATE OF name ON catalog_brand
  FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION catalog_brand_pass_name_on();
