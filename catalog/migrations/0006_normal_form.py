from django.db import migrations

# A brand's name or a SKU whose normal form another row already has is left as it is. People have to decide whether the
# two rows are the same brand or product.
SQL = """
UPDATE catalog_brand AS b SET name = normalize(name, NFC) WHERE name IS NOT NFC NORMALIZED AND NOT EXISTS (
  SELECT FROM catalog_brand AS other
  WHERE other.id <> b.id AND lower(normalize(other.name, NFC)) = lower(normalize(b.name, NFC))
);
UPDATE catalog_category SET name = normalize(name, NFC), description = normalize(description, NFC)
WHERE name IS NOT NFC NORMALIZED OR description IS NOT NFC NORMALIZED;
UPDATE catalog_product
SET name = normalize(name, NFC), description = normalize(description, NFC), attributes = normalize(attributes::text, NFC)::jsonb
WHERE name IS NOT NFC NORMALIZED OR description IS NOT NFC NORMALIZED OR attributes::text IS NOT NFC NORMALIZED;
UPDATE catalog_product AS p SET sku = normalize(sku, NFC) WHERE sku IS NOT NFC NORMALIZED AND NOT EXISTS (
  SELECT FROM catalog_product AS other WHERE other.id <> p.id AND normalize(other.sku, NFC) = normalize(p.sku, NFC)
);
UPDATE catalog_variant SET option = normalize(option, NFC), value = normalize(value, NFC)
WHERE option IS NOT NFC NORMALIZED OR value IS NOT NFC NORMALIZED;
UPDATE catalog_variant AS v SET sku = normalize(sku, NFC) WHERE sku IS NOT NFC NORMALIZED AND NOT EXISTS (
  SELECT FROM catalog_variant AS other WHERE other.id <> v.id AND normalize(other.sku, NFC) = normalize(v.sku, NFC)
);
UPDATE catalog_productimage SET alt = normalize(alt, NFC) WHERE alt IS NOT NFC NORMALIZED;
"""


class Migration(migrations.Migration):
    """Bring the texts of the catalog into the form NFC of Unicode, in which they are written and looked for from now on."""

    dependencies = [
        ('catalog', '0005_former_addresses'),
    ]

    operations = [
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
