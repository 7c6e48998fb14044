-- What people type of a SKU: they leave out or change what is between its letters and digits.
CREATE FUNCTION catalog_code(sku text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT upper(regexp_replace(sku, '[^[:alnum:]]', '', 'g'))
$$;
