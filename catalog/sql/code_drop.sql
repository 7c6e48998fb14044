DROP FUNCTION catalog_code(text);
