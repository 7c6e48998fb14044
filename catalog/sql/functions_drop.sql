DROP FUNCTION catalog_attributes_valid(jsonb);
DROP FUNCTION catalog_gtin_valid(text);
DROP TEXT SEARCH CONFIGURATION catalog;
