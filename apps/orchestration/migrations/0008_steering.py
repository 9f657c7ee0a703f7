import apps.tenants.orm
import django.db.models.functions.datetime
import uuid_utils.compat
from django.db import migrations, models

from apps.tenants.orm import AllowPlatform


class Migration(migrations.Migration):

    dependencies = [
        ('orchestration', '0007_children'),
    ]

    operations = [
        migrations.CreateModel(
            name='BulkOperation',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(db_default=apps.tenants.orm.CurrentTenant(), editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('action', models.CharField(max_length=12)),
                ('chosen', models.JSONField()),
                ('total', models.PositiveIntegerField()),
                ('done', models.PositiveIntegerField(default=0)),
                ('refused', models.PositiveIntegerField(default=0)),
                ('refusals', models.JSONField(default=list)),
                ('status', models.CharField(default='running', max_length=10)),
                ('actor', models.CharField(max_length=100)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('moved_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name='agentrun',
            name='pause_requested_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='agentrun',
            name='replay_of',
            field=models.UUIDField(null=True),
        ),
        migrations.AlterField(
            model_name='agentrun',
            name='status',
            field=models.CharField(choices=[('running', 'running'), ('sleeping', 'sleeping'), ('compensating', 'compensating'), ('waiting', 'waiting'), ('paused', 'paused'), ('completed', 'completed'), ('failed', 'failed'), ('compensated', 'compensated'), ('compensation_failed', 'compensation_failed'), ('cancelled', 'cancelled')], default='running', max_length=20),
        ),
        migrations.AddIndex(
            model_name='agentrun',
            index=models.Index(condition=models.Q(('status__in', ['waiting', 'compensation_failed'])), fields=['tenant_id', 'status'], name='run_in_need'),
        ),
        migrations.AddIndex(
            model_name='agentrun',
            index=models.Index(condition=models.Q(('replay_of__isnull', False)), fields=['replay_of'], name='run_replay'),
        ),
        migrations.AddIndex(
            model_name='bulkoperation',
            index=models.Index(condition=models.Q(('status', 'running')), fields=['tenant_id', '-id'], name='bulk_running'),
        ),
        # The sweep finds operations of all companies whose worker was lost.
        AllowPlatform('orchestration_bulkoperation', 'SELECT'),
    ]
