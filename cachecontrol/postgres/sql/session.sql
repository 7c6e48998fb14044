-- What a connection asks of its own session.

-- name: state
-- Fragment: everything in a session that affects the result of a query, as one text: ``t`` if it has temporary tables or views,
-- to which PostgreSQL resolves names first; then its role, its search_path, and how values are written and texts compared.
--
-- The function of the read point returns the same text (migration 0005): whoever changes one writes a migration for the other.
--
-- The similarity thresholds of pg_trgm are empty in a session that has not loaded pg_trgm: then its defaults hold.
concat_ws(' ',
           CASE WHEN pg_my_temp_schema() = 0 THEN false
                ELSE EXISTS (SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema()) END,
           current_user,
           current_setting('search_path'),
           current_setting('row_security'),
           current_setting('TimeZone'),
           current_setting('DateStyle'),
           current_setting('IntervalStyle'),
           current_setting('default_text_search_config'),
           current_setting('extra_float_digits'),
           current_setting('bytea_output'),
           current_setting('array_nulls'),
           current_setting('transform_null_equals'),
           current_setting('gin_fuzzy_search_limit'),
           COALESCE(NULLIF(current_setting('pg_trgm.similarity_threshold', true), ''), '0.3'),
           COALESCE(NULLIF(current_setting('pg_trgm.word_similarity_threshold', true), ''), '0.6'),
           COALESCE(NULLIF(current_setting('pg_trgm.strict_word_similarity_threshold', true), ''), '0.5'))

-- name: start
-- Return whether a startup option of the new connection enables the notices of its writes, and the state of its session.
SELECT COALESCE(current_setting({setting}, true) = 'on', false) AS has_notices, {state} AS state;

-- name: enable_notices
-- Let the triggers send this session a notice for each of its changes.
SELECT set_config({setting}, 'on', false);
