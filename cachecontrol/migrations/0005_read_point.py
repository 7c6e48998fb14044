from django.db import migrations


# A function, since PostgreSQL plans the statements of one once for each session: planning took two thirds of the time.
CREATE = """
CREATE FUNCTION cachecontrol_read_point(longest_lock text) RETURNS TABLE (
    number bigint, random text, wal numeric, is_replica boolean, system bigint, database bigint, has_written boolean,
    isolation text, captured text, session text
) LANGUAGE plpgsql STABLE AS $$ BEGIN
    PERFORM set_config('lock_timeout', longest_lock, true);
    RETURN QUERY SELECT
        epoch.number,
        epoch.random,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
        pg_is_in_recovery(),
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
        CASE WHEN pg_is_in_recovery() THEN false ELSE pg_current_xact_id_if_assigned() IS NOT NULL END,
        current_setting('transaction_isolation'),
        (SELECT md5(string_agg(
                    concat_ws(' ', t.relation, t.definition, (SELECT concat_ws(' ', c.oid, c.relrowsecurity) FROM pg_class AS c
                                                               WHERE c.oid = to_regclass(quote_ident(t.relation)))),
                    ',' ORDER BY t.relation))
           FROM cachecontrol_tracked AS t),
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
      FROM cachecontrol_epoch AS epoch;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('cachecontrol', '0004_change_columns'),
    ]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION cachecontrol_read_point(text)"),
    ]
