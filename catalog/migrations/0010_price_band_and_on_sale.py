import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.math
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0009_texts_of_forms'),
    ]

    operations = [
        migrations.AddField(
            model_name='product',
            name='on_sale',
            field=models.GeneratedField(db_persist=True, expression=models.ExpressionWrapper(models.Q(('sale_price__lt', models.F('price'))), output_field=models.BooleanField()), output_field=models.BooleanField(null=True), verbose_name='on sale'),
        ),
        migrations.AddField(
            model_name='product',
            name='price_band',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.math.Floor(django.db.models.functions.math.Log(models.Value(10), django.db.models.expressions.CombinedExpression(django.db.models.functions.comparison.Greatest(django.db.models.functions.comparison.Coalesce('sale_price', 'price'), models.Value(Decimal('0'))), '+', models.Value(1)))), output_field=models.SmallIntegerField(), verbose_name='price band'),
        ),
    ]
