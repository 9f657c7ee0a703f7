from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0003_outbox_usage")]

    operations = [
        migrations.AddField("streamincarnation", "last_id", models.UUIDField(null=True)),
    ]
