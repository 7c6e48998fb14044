DROP TRIGGER catalog_brand_pass_name_on ON catalog_brand;
DROP FUNCTION catalog_brand_pass_name_on();
DROP TRIGGER catalog_product_copy_brand_name ON catalog_product;
DROP FUNCTION catalog_product_copy_brand_name();
