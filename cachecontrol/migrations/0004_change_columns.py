import django.contrib.postgres.fields
from django.db import migrations, models


# NULL, as in changes of triggers of an earlier release: any column may have changed.
COLUMNS = "ALTER TABLE cachecontrol_change ADD COLUMN columns text[]"
# Until they are created anew, the triggers name the column, and would refuse every writer without it.
UNDO = """
DO $$ DECLARE capture regprocedure; BEGIN
    FOR capture IN SELECT p.oid FROM pg_proc AS p JOIN pg_class AS c ON p.pronamespace = c.relnamespace
        WHERE c.oid = 'cachecontrol_change'::regclass AND starts_with(p.proname, 'cachecontrol_capture_')
    LOOP EXECUTE format('DROP FUNCTION %s CASCADE', capture); END LOOP;
END $$;
DELETE FROM cachecontrol_tracked;
ALTER TABLE cachecontrol_change DROP COLUMN columns
"""


class Migration(migrations.Migration):

    dependencies = [
        ('cachecontrol', '0003_job_run'),
    ]

    operations = [
        migrations.RunSQL(COLUMNS, UNDO),
        migrations.AddField(
            model_name='change',
            name='columns',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), null=True, size=None, verbose_name='columns'),
        ),
    ]
