DROP FUNCTION catalog_deletions(text);
DROP FUNCTION catalog_attribute_texts(jsonb);
DROP FUNCTION catalog_searchable(text);
