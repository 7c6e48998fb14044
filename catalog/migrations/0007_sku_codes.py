import catalog.functions
import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.db import migrations, models
from pathlib import Path

SQL_FILES = Path(__file__).resolve().parent.parent / 'sql'


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0006_normal_form'),
    ]

    operations = [
        migrations.RunSQL((SQL_FILES / 'code.sql').read_text(), (SQL_FILES / 'code_drop.sql').read_text()),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(django.contrib.postgres.indexes.OpClass(catalog.functions.Code('sku'), name='text_pattern_ops'), name='product_code'),
        ),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Reverse(catalog.functions.Code('sku')), name='text_pattern_ops'), name='product_code_reversed'),
        ),
    ]
