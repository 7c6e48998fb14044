-- Return a text as it is searched for: the words of compounds and codes apart ("TX-NR905/B" as "TX NR905 B") and, after them, as one
-- ("TXNR905B"), an inch sign as a word, and each character of Chinese, Japanese and Korean as a word of its own, since these
-- languages are written without spaces.
CREATE FUNCTION catalog_searchable(text text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  words text := text;
  compounds text := '';
BEGIN
  IF words ~* '\d[\s-]?(["''″”]|in)' THEN
    words := regexp_replace(words, '(\d)(?:[\s-]?(?:["″”]|''''|''(?!\w)|inch(?:es)?\M)|-?in(?![-\w]))', '\1 inch ', 'gi');
  END IF;
  IF words ~ '[-/_&+.‐‑–—]\w' THEN
    compounds := (
      SELECT coalesce(string_agg(regexp_replace(compound[1], '\W|_', '', 'g'), ' '), '')
      FROM regexp_matches(words, '\w+(?:[-/_&+‐‑–—]\w+)+', 'g') AS compound
    );
    words := regexp_replace(words, '[-/_&+‐‑–—](?=\w)|(?<=[^\W\d])\.(?=\w)', ' ', 'g');
  END IF;
  IF words ~ '[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]' THEN
    words := regexp_replace(words, '([\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff])', ' \1 ', 'g');
  END IF;
  RETURN concat_ws(' ', words, nullif(compounds, ''));
END $$;

-- Return the values of a product's attributes as one text, without their names.
CREATE FUNCTION catalog_attribute_texts(attributes jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT coalesce(string_agg(value #>> '{}', ' ; '), '') FROM jsonb_path_query(attributes, '$.*[*]') AS value
$$;

-- Return a word, and the word without each of its letters. Two words between which lies one typing error (a letter missing, added
-- or wrong, or two swapped) have one of these in common, so an index of them finds the word that was meant.
CREATE FUNCTION catalog_deletions(word text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN length(word) BETWEEN 3 AND 24 THEN array(
    SELECT DISTINCT overlay(word PLACING '' FROM place FOR 1) FROM generate_series(1, length(word)) AS place
  ) || word ELSE ARRAY[word] END
$$;
