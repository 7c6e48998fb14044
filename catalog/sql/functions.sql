-- The text search configuration of the catalog: English stems without accents, so that "cafetiere" finds "cafetières".
CREATE TEXT SEARCH CONFIGURATION catalog (COPY = english);
ALTER TEXT SEARCH CONFIGURATION catalog ALTER MAPPING FOR hword, hword_part, word WITH unaccent, english_stem;

-- The check digit of GS1: counted from the right, the digits have the weights 1, 3, 1, 3 and so on, and their sum is a
-- multiple of ten.
CREATE FUNCTION catalog_gtin_valid(gtin text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN gtin ~ '^([0-9]{8}|[0-9]{12,14})$' THEN (
    SELECT sum(substr(lpad(gtin, 14, '0'), place, 1)::int * CASE place % 2 WHEN 1 THEN 3 ELSE 1 END) % 10 = 0
    FROM generate_series(1, 14) AS place
  ) ELSE false END
$$;

-- Not STRICT, so that the planner can inline the function: calling it would take longer than its body.
CREATE FUNCTION catalog_attributes_valid(attributes jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(attributes) = 'object' THEN NOT (
    jsonb_path_exists(attributes, 'strict $.* ? (@.type() == "object" || @.type() == "null")')
    OR jsonb_path_exists(attributes, 'strict $.* ? (@.type() == "array")[*] ? (@.type() != "string")')
  ) ELSE false END
$$;
