-- Return the letters and digits of a SKU. People who search for a SKU often leave out or change the signs between them.
CREATE FUNCTION catalog_code(sku text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT upper(regexp_replace(sku, '[^[:alnum:]]', '', 'g'))
$$;
