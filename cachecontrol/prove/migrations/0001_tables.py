from django.db import migrations, models

SCHEMA = """
CREATE SEQUENCE prove_version;
CREATE TABLE prove_shelf (id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0, note text NOT NULL DEFAULT '');
CREATE TABLE prove_item (
    id bigint PRIMARY KEY,
    shelf_id bigint NOT NULL REFERENCES prove_shelf ON DELETE CASCADE,
    version bigint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT ''
);
CREATE INDEX prove_item_shelf ON prove_item (shelf_id);
CREATE TABLE prove_history (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    who text NOT NULL DEFAULT current_setting('application_name'),
    kind text NOT NULL,
    pk bigint NOT NULL,
    version bigint NOT NULL,
    shelf bigint
);
CREATE INDEX prove_history_xid ON prove_history (xid);

CREATE FUNCTION prove_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval('prove_version');
    RETURN NEW;
END $$;
CREATE FUNCTION prove_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO prove_history (kind, pk, version) SELECT 'item', id, nextval('prove_version') FROM prove_item;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO prove_history (kind, pk, version) VALUES (TG_ARGV[0], OLD.id, nextval('prove_version'));
    ELSIF TG_ARGV[0] = 'item' THEN
        INSERT INTO prove_history (kind, pk, version, shelf) VALUES ('item', NEW.id, NEW.version, NEW.shelf_id);
    ELSE
        INSERT INTO prove_history (kind, pk, version, shelf) VALUES ('shelf', NEW.id, NEW.version, 0);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER prove_number BEFORE INSERT OR UPDATE ON prove_item FOR EACH ROW EXECUTE FUNCTION prove_number();
CREATE TRIGGER prove_number BEFORE INSERT OR UPDATE ON prove_shelf FOR EACH ROW EXECUTE FUNCTION prove_number();
CREATE TRIGGER prove_note AFTER INSERT OR UPDATE OR DELETE ON prove_item FOR EACH ROW EXECUTE FUNCTION prove_note('item');
CREATE TRIGGER prove_note AFTER INSERT OR UPDATE OR DELETE ON prove_shelf FOR EACH ROW EXECUTE FUNCTION prove_note('shelf');
CREATE TRIGGER prove_emptied BEFORE TRUNCATE ON prove_item FOR EACH STATEMENT EXECUTE FUNCTION prove_note('item');
ALTER TABLE prove_item ENABLE ALWAYS TRIGGER prove_number, ENABLE ALWAYS TRIGGER prove_note, ENABLE ALWAYS TRIGGER prove_emptied;
ALTER TABLE prove_shelf ENABLE ALWAYS TRIGGER prove_number, ENABLE ALWAYS TRIGGER prove_note;
"""

UNDO = """
DROP TABLE prove_item, prove_shelf, prove_history;
DROP SEQUENCE prove_version;
DROP FUNCTION prove_number, prove_note;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [("cachecontrol", "0001_change_log")]

    operations = [
        migrations.RunSQL(SCHEMA, UNDO),
        migrations.CreateModel(
            name="Shelf",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("version", models.BigIntegerField(default=0)),
                ("note", models.TextField(default="")),
            ],
            options={"db_table": "prove_shelf", "managed": False},
        ),
        migrations.CreateModel(
            name="Item",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("version", models.BigIntegerField(default=0)),
                ("note", models.TextField(default="")),
                ("shelf", models.ForeignKey(on_delete=models.CASCADE, to="prove.shelf")),
            ],
            options={"db_table": "prove_item", "managed": False},
        ),
    ]
