from django.db import migrations


class Migration(migrations.Migration):
    """Keep long search vectors outside the row, uncompressed: ranking reads them often, listings never."""

    dependencies = [
        ('catalog', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(
            'ALTER TABLE catalog_product ALTER COLUMN search SET STORAGE EXTERNAL',
            'ALTER TABLE catalog_product ALTER COLUMN search SET STORAGE EXTENDED',
        ),
    ]
