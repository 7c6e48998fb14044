DROP TRIGGER catalog_category_keep_path ON catalog_category;
DROP FUNCTION catalog_category_keep_path();
DROP TRIGGER catalog_product_keep_slug ON catalog_product;
DROP FUNCTION catalog_product_keep_slug();
