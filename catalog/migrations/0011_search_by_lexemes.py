from pathlib import Path

import catalog.functions
import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.functions.text
from django.db import migrations, models

SQL_FILES = Path(__file__).resolve().parent.parent / 'sql'


class Migration(migrations.Migration):
    """Build the search vector of texts whose compounds are split, and count its lexemes. The table of products is rewritten."""

    dependencies = [
        ('catalog', '0010_price_band_and_on_sale'),
    ]

    operations = [
        migrations.RunSQL((SQL_FILES / 'search.sql').read_text(), (SQL_FILES / 'search_drop.sql').read_text()),
        migrations.RemoveIndex(model_name='product', name='product_search'),
        migrations.RemoveField(model_name='product', name='search'),
        migrations.AddField(
            model_name='product',
            name='search',
            field=models.GeneratedField(db_persist=True, expression=django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.SearchVector(catalog.functions.Searchable('name'), config='catalog', weight='A'), '||', django.contrib.postgres.search.SearchVector(catalog.functions.Searchable('brand_name'), config='catalog', weight='B'), django.contrib.postgres.search.SearchConfig('catalog')), '||', django.contrib.postgres.search.SearchVector(catalog.functions.Searchable(catalog.functions.AttributeTexts('attributes')), config='catalog', weight='C'), django.contrib.postgres.search.SearchConfig('catalog')), '||', django.contrib.postgres.search.SearchVector(catalog.functions.Searchable('description'), config='catalog', weight='D'), django.contrib.postgres.search.SearchConfig('catalog')), output_field=django.contrib.postgres.search.SearchVectorField(), verbose_name='search vector'),
        ),
        migrations.RunSQL('ALTER TABLE catalog_product ALTER COLUMN search SET STORAGE EXTERNAL', migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='product',
            index=django.contrib.postgres.indexes.GinIndex(models.F('search'), name='product_search'),
        ),
        migrations.CreateModel(
            name='SearchStatistics',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('products', models.PositiveIntegerField()),
                ('changes', models.BigIntegerField()),
                ('counted_at', models.DateTimeField()),
            ],
            options={
                'base_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='Lexeme',
            fields=[
                ('lexeme', models.TextField(primary_key=True, serialize=False)),
                ('products', models.PositiveIntegerField()),
                ('deletions', models.GeneratedField(db_persist=True, expression=catalog.functions.Deletions('lexeme'), output_field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None))),
            ],
            options={
                'base_manager_name': 'objects',
                'indexes': [django.contrib.postgres.indexes.GinIndex(models.F('deletions'), name='lexeme_deletions'), django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('lexeme', name='gin_trgm_ops'), name='lexeme_trigrams'), models.Index(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Reverse('lexeme'), name='text_pattern_ops'), name='lexeme_reversed')],
            },
        ),
    ]
