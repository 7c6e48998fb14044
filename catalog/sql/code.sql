-- The letters and digits of a SKU: people who search for one often leave out or change the characters between them.
CREATE FUNCTION catalog_code(sku text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT upper(regexp_replace(sku, '[^[:alnum:]]', '', 'g'))
$$;
