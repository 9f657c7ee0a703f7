import apps.tenants.orm
from apps.tenants.orm import AllowPlatform
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orchestration', '0006_scale'),
    ]

    operations = [
        migrations.CreateModel(
            name='ScheduledTrigger',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(db_default=apps.tenants.orm.CurrentTenant(), editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('workflow_name', models.CharField(max_length=63)),
                ('schedule', models.CharField(max_length=200)),
                ('next_at', models.DateTimeField()),
                ('last_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True)),
            ],
        ),
        migrations.AddField(
            model_name='agentrun',
            name='depth',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='agentrun',
            name='parent_path',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='agentrun',
            name='parent_run_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddIndex(
            model_name='agentrun',
            index=models.Index(condition=models.Q(('parent_run_id__isnull', False)), fields=['parent_run_id'], name='run_children'),
        ),
        migrations.AddIndex(
            model_name='scheduledtrigger',
            index=models.Index(fields=['next_at'], name='schedule_due'),
        ),
        migrations.AddConstraint(
            model_name='scheduledtrigger',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'workflow_name', 'schedule'), name='one_schedule'),
        ),
        # Due schedules of all tenants are found at once.
        AllowPlatform('orchestration_scheduledtrigger', 'SELECT'),
    ]
