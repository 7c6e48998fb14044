"""Name the runs of the jobs as the code does. The table keeps its name, so that an earlier release can go on beside this one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cachecontrol", "0002_statistics")]

    operations = [
        migrations.AlterModelTable("KeeperRun", "cachecontrol_keeperrun"),
        migrations.RenameModel("KeeperRun", "JobRun"),
        migrations.AlterModelOptions(
            name="jobrun",
            options={
                "ordering": ("-started_at",),
                "verbose_name": "job run",
                "verbose_name_plural": "job runs",
            },
        ),
        migrations.AlterField(
            model_name="jobrun", name="name", field=models.TextField(verbose_name="job")
        ),
    ]
